"""Rule files: their fields, conditions, patterns and correlations, read strictly into frozen structs."""
