"""The report: one page, a part of it in each file."""
