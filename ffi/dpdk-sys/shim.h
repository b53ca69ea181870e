/*
 * The hand-written part of the bindings: static inlines, thread-local variables and calls whose structures change
 * from one DPDK release to the next, behind plain functions and flat structures of our own.
 *
 * A call costs 1.4-2 ns, so packet functions work on a burst; single fields of an mbuf are read and written by the
 * caller itself. Every function returns what DPDK returns: 0 or a count, else a negative errno.
 */
#ifndef WEIR_SHIM_H
#define WEIR_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* The release these bindings were made from; compared with the loaded library at start. */
static const uint32_t WEIR_BUILT_YEAR = RTE_VER_YEAR;
static const uint32_t WEIR_BUILT_MONTH = RTE_VER_MONTH;

/* Offsets inside struct rte_mbuf, which src/mbuf.rs must match. */
static const size_t WEIR_MBUF_SIZE = sizeof(struct rte_mbuf);
static const size_t WEIR_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr);
static const size_t WEIR_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off);
static const size_t WEIR_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt);
static const size_t WEIR_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs);
static const size_t WEIR_MBUF_PORT = offsetof(struct rte_mbuf, port);
static const size_t WEIR_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags);
static const size_t WEIR_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type);
static const size_t WEIR_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len);
static const size_t WEIR_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len);
static const size_t WEIR_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci);
static const size_t WEIR_MBUF_RSS = offsetof(struct rte_mbuf, hash.rss);
static const size_t WEIR_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len);
static const size_t WEIR_MBUF_NEXT = offsetof(struct rte_mbuf, next);

static const uint64_t WEIR_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t WEIR_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;

static const uint64_t WEIR_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t WEIR_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t WEIR_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t WEIR_TX_OFFLOAD_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

static const uint64_t WEIR_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t WEIR_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t WEIR_RSS_UDP = RTE_ETH_RSS_UDP;

/* Bytes of a Toeplitz key: of most devices, and more than of any. */
#define WEIR_RSS_KEY_USUAL 40
#define WEIR_RSS_KEY_MAX 256

static const uint16_t WEIR_PORTS_MAX = RTE_MAX_ETHPORTS;
static const uint16_t WEIR_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const uint32_t WEIR_LCORE_ANY = LCORE_ID_ANY;
static const size_t WEIR_PORT_NAME_SIZE = RTE_ETH_NAME_MAX_LEN;
static const size_t WEIR_BURST_MODE_SIZE = RTE_ETH_BURST_MODE_INFO_SIZE;

/* The part of rte_eth_dev_info that is used. */
struct weir_port_info {
	char driver[64];
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint64_t rss_functions;
	uint32_t if_index;
	uint32_t max_mac_addresses;
	uint16_t max_rx_queues;
	uint16_t max_tx_queues;
	uint16_t min_mtu;
	uint16_t max_mtu;
	uint16_t reta_size;
	uint16_t rss_key_bytes;
};

/* What goes into rte_eth_conf. `mtu` 0 leaves the driver's. `rss_functions` 0 means no RSS. */
struct weir_port_conf {
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint64_t rss_functions;
	uint8_t *rss_key;
	uint16_t rss_key_bytes;
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t mtu;
};

struct weir_link {
	uint32_t speed_mbps;
	uint8_t up;
	uint8_t full_duplex;
	uint8_t autonegotiated;
};

/* Per burst. */
uint16_t weir_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t weir_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
int weir_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count);
void weir_mbuf_free(struct rte_mbuf *packet);

/* Thread-local state and clock. */
int weir_errno(void);
unsigned int weir_lcore_id(void);
uint64_t weir_tsc(void);

/* Ports. */
int weir_port_info_get(uint16_t port, struct weir_port_info *info);
int weir_port_configure(uint16_t port, const struct weir_port_conf *conf);
int weir_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, uint64_t offloads,
			struct rte_mempool *pool);
int weir_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, uint64_t offloads);
int weir_link_get(uint16_t port, struct weir_link *link);
/* Closes a stopped port and gives its device back to the kernel. */
int weir_port_remove(uint16_t port);
/* From now on the kernel's wish to have a device back is noticed. */
int weir_watch_removals(void);
/* Bit n: the device of port n is wanted back. Told once. */
uint64_t weir_take_removed(void);
/* `mode` has WEIR_BURST_MODE_SIZE bytes. */
int weir_rx_burst_mode(uint16_t port, char *mode);
int weir_tx_burst_mode(uint16_t port, char *mode);
/* `key` has room for WEIR_RSS_KEY_MAX: some drivers write their key without looking at the length given. */
int weir_rss_get(uint16_t port, uint8_t *key, uint16_t key_bytes);
int weir_rss_set(uint16_t port, const uint8_t *key, uint16_t key_bytes, uint64_t functions);
int weir_reta_get(uint16_t port, uint16_t *queues, uint16_t size);

#endif
