"""One page a file, which says so by `PAGE`: controls, question, answer, picture. Nothing here computes a figure."""
