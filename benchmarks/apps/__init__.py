"""What the measured servers serve. Each file is loaded by a server, not imported by the harness."""
