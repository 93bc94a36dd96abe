"""What is checked before any training starts, each kind of trouble in a file of its own."""
