"""Where the microseconds of a request go: exact totals from the kernel, shared out by samples of the stack."""
