"""The CRM's slices over HTTP, in process, on a real database."""
