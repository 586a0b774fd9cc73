"""mxopt against its peers and the machine's limit, in one process: ``python -m benchmarks``."""
