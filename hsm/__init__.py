"""HSM, the HPC Sweep Manager: brings the results of hyper-parameter sweeps home."""

from hsm._version import __version__ as __version__
