"""Pages about what detection finds: alerts, cases, questions to employees, and rules."""
