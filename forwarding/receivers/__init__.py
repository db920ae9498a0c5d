"""Where followers send: one module for each kind of receiver."""
