//! Safe, owned handles over DPDK: EAL, ports, queues, mempools, mbufs.
