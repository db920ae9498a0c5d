"""The groups of commands, one module each; `audit_trail.cli` puts them together."""
