"""One page a file: controls, question, answer, picture. Nothing here computes a figure."""
