"""The nodes of the board; no folder here imports another one."""
