"""In the process that starts the script, and after it: start, watch, gather."""
