"""The engines that carry a plan out, behind one contract."""
