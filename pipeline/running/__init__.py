"""What a run needs besides its steps: their table, processes, records and folders."""
