"""Real MXNet beside mxopt, in one process; see README.md here."""
