"""The tags of an organization. They are put on records where those are changed; the kernel keeps them."""
