"""The gateway's HTTP side: its connections, and the API that it serves on them."""
