"""What a measurement may use of this machine, enforced by the kernel and read back: processors, CPU time, memory."""
