"""The built-in projections: one module per read model."""
