/* For rte_dev_event_callback_register: experimental in name, unchanged since 18.05. */
#define ALLOW_EXPERIMENTAL_API

#include "shim.h"

#include <stdatomic.h>
#include <string.h>

uint16_t weir_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t weir_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, packets, count);
}

int weir_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, packets, count);
}

void weir_mbuf_free(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet);
}

int weir_errno(void)
{
	return rte_errno;
}

unsigned int weir_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t weir_tsc(void)
{
	return rte_rdtsc();
}

int weir_port_info_get(uint16_t port, struct weir_port_info *info)
{
	struct rte_eth_dev_info dev;
	int rc = rte_eth_dev_info_get(port, &dev);

	if (rc != 0)
		return rc;
	memset(info, 0, sizeof(*info));
	if (dev.driver_name != NULL)
		strncpy(info->driver, dev.driver_name, sizeof(info->driver) - 1);
	info->rx_offloads = dev.rx_offload_capa;
	info->tx_offloads = dev.tx_offload_capa;
	info->rss_functions = dev.flow_type_rss_offloads;
	info->if_index = dev.if_index;
	info->max_mac_addresses = dev.max_mac_addrs;
	info->max_rx_queues = dev.max_rx_queues;
	info->max_tx_queues = dev.max_tx_queues;
	info->min_mtu = dev.min_mtu;
	info->max_mtu = dev.max_mtu;
	info->reta_size = dev.reta_size;
	/* 0 is an older driver's way of saying the usual length. */
	info->rss_key_bytes = dev.hash_key_size;
	if (dev.flow_type_rss_offloads != 0 && dev.hash_key_size == 0)
		info->rss_key_bytes = WEIR_RSS_KEY_USUAL;
	return 0;
}

int weir_port_configure(uint16_t port, const struct weir_port_conf *conf)
{
	struct rte_eth_conf eth;

	memset(&eth, 0, sizeof(eth));
	eth.rxmode.mtu = conf->mtu;
	eth.rxmode.offloads = conf->rx_offloads;
	eth.txmode.offloads = conf->tx_offloads;
	if (conf->rss_functions != 0) {
		eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		eth.rx_adv_conf.rss_conf.rss_hf = conf->rss_functions;
		eth.rx_adv_conf.rss_conf.rss_key = conf->rss_key;
		eth.rx_adv_conf.rss_conf.rss_key_len = (uint8_t)conf->rss_key_bytes;
	}
	return rte_eth_dev_configure(port, conf->rx_queues, conf->tx_queues, &eth);
}

int weir_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, uint64_t offloads,
			struct rte_mempool *pool)
{
	struct rte_eth_dev_info dev;
	int rc = rte_eth_dev_info_get(port, &dev);

	if (rc != 0)
		return rc;
	dev.default_rxconf.offloads = offloads;
	return rte_eth_rx_queue_setup(port, queue, descriptors, (unsigned int)rte_eth_dev_socket_id(port),
				      &dev.default_rxconf, pool);
}

int weir_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, uint64_t offloads)
{
	struct rte_eth_dev_info dev;
	int rc = rte_eth_dev_info_get(port, &dev);

	if (rc != 0)
		return rc;
	dev.default_txconf.offloads = offloads;
	return rte_eth_tx_queue_setup(port, queue, descriptors, (unsigned int)rte_eth_dev_socket_id(port),
				      &dev.default_txconf);
}

int weir_link_get(uint16_t port, struct weir_link *link)
{
	struct rte_eth_link dev;
	int rc = rte_eth_link_get_nowait(port, &dev);

	if (rc != 0)
		return rc;
	link->speed_mbps = dev.link_speed;
	link->up = dev.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = dev.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	link->autonegotiated = dev.link_autoneg == RTE_ETH_LINK_AUTONEG;
	return 0;
}

int weir_rx_burst_mode(uint16_t port, char *mode)
{
	struct rte_eth_burst_mode dev;
	int rc;

	memset(&dev, 0, sizeof(dev));
	rc = rte_eth_rx_burst_mode_get(port, 0, &dev);
	if (rc == 0)
		memcpy(mode, dev.info, sizeof(dev.info));
	return rc;
}

int weir_tx_burst_mode(uint16_t port, char *mode)
{
	struct rte_eth_burst_mode dev;
	int rc;

	memset(&dev, 0, sizeof(dev));
	rc = rte_eth_tx_burst_mode_get(port, 0, &dev);
	if (rc == 0)
		memcpy(mode, dev.info, sizeof(dev.info));
	return rc;
}

int weir_rss_get(uint16_t port, uint8_t *key, uint16_t key_bytes)
{
	struct rte_eth_rss_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.rss_key = key;
	conf.rss_key_len = (uint8_t)key_bytes;
	return rte_eth_dev_rss_hash_conf_get(port, &conf);
}

int weir_rss_set(uint16_t port, const uint8_t *key, uint16_t key_bytes, uint64_t functions)
{
	uint8_t copy[WEIR_RSS_KEY_MAX] = {0};
	struct rte_eth_rss_conf conf;

	if (key_bytes >= WEIR_RSS_KEY_MAX)
		return -EINVAL;
	memcpy(copy, key, key_bytes);
	memset(&conf, 0, sizeof(conf));
	conf.rss_key = copy;
	conf.rss_key_len = (uint8_t)key_bytes;
	conf.rss_hf = functions;
	return rte_eth_dev_rss_hash_update(port, &conf);
}

int weir_reta_get(uint16_t port, uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t i;
	int rc;

	if (size > RTE_ETH_RSS_RETA_SIZE_512)
		return -ENOTSUP;
	memset(groups, 0, sizeof(groups));
	for (i = 0; i < size; i++)
		groups[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
	rc = rte_eth_dev_rss_reta_query(port, groups, size);
	if (rc != 0)
		return rc;
	for (i = 0; i < size; i++)
		queues[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return 0;
}

int weir_port_remove(uint16_t port)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = NULL;
	int rc;

	if (rte_eth_dev_info_get(port, &info) == 0)
		device = info.device;
	rc = rte_eth_dev_close(port);
	return device != NULL ? rte_dev_remove(device) : rc;
}

_Static_assert(RTE_MAX_ETHPORTS <= 64, "one bit a port");
static _Atomic uint64_t removed;

/* Called on EAL's interrupt thread, which may not close the port itself. */
static void on_device_event(const char *name, enum rte_dev_event_type event, void *argument)
{
	uint16_t port;

	(void)argument;
	if (event == RTE_DEV_EVENT_REMOVE && rte_eth_dev_get_port_by_name(name, &port) == 0)
		atomic_fetch_or(&removed, UINT64_C(1) << port);
}

int weir_watch_removals(void)
{
	return rte_dev_event_callback_register(NULL, on_device_event, NULL);
}

uint64_t weir_take_removed(void)
{
	return atomic_exchange(&removed, 0);
}
