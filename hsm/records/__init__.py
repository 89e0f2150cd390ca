"""Records of what is verified at targets, here and there, and the locks that guard them."""
