"""What the thin-and-deep processes are measured by: one module a question."""
