"""A guarantee counts only if breaking it turns a named test red: each mutation breaks one, and names those tests."""
