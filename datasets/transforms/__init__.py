"""Changes to recordings, and forms to see them in: values that mutate nothing."""
