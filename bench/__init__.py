"""What the product costs, each figure beside its floor: `make bench`, see README.md here."""
