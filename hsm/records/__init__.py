"""What is proven: the journal here, the receipt at the destination, and the locks."""
