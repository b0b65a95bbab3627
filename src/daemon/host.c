/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <string.h>

#include "crypto/node_id.h"
#include "daemon/host.h"

/* Where all overlay addresses lie: one route serves every peer's. See docs/protocol.md. */
static const struct qe_prefix overlay_network = {
	.addr = {.family = QE_FAMILY_IPV6, .bytes = {0xfd, 0x51, 0xe7}}, .length = 24};

/* ---- clashes ---- */

struct search {
	const struct qe_config *config;
	struct qe_text *why;
	bool found;
};

static void add_host_entry(struct qe_text *why, const struct qe_host_entry *entry)
{
	char text[QE_PREFIX_TEXT_SIZE];

	if (entry->is_route) {
		qe_prefix_format(text, &entry->prefix);
		qe_text_addf(why, "the route to %s", text);
	} else {
		qe_addr_format(text, &entry->addr);
		qe_text_addf(why, "the address %s/%u", text, entry->prefix.length);
	}
	if (entry->interface[0])
		qe_text_addf(why, " on %s", entry->interface);
	qe_text_add(why, ", which this host has already: one of the two must go");
}

/* Whether it is the one that was sought; ours then begins the sentence. */
static bool clashes(struct search *search, const struct qe_host_entry *entry,
	const struct qe_prefix *prefix, const char *ours)
{
	char text[QE_PREFIX_TEXT_SIZE];

	if (!qe_prefix_overlaps(prefix, &entry->prefix))
		return false;
	qe_prefix_format(text, prefix);
	qe_text_addf(search->why, "%s %s clashes with ", ours, text);
	add_host_entry(search->why, entry);
	search->found = true;
	return true;
}

/* Default routes overlap everything and are meant to. */
static void look_at(void *ctx, const struct qe_host_entry *entry)
{
	struct search *search = ctx;
	const struct qe_config *config = search->config;
	const struct qe_config_list *addrs = &config->network.tun_addr;

	if (search->found || (entry->is_route && entry->prefix.length == 0))
		return;
	if (clashes(search, entry, &overlay_network, "the overlay's network"))
		return;
	for (size_t i = 0; i < addrs->n; i++) {
		if (clashes(search, entry, &addrs->addrs[i].prefix, "network.tun_addr"))
			return;
	}
}

enum qe_error qe_host_check(
	struct qe_netlink *netlink, const struct qe_config *config, struct qe_text *why)
{
	struct search search = {config, why, false};
	const char *name = config->network.tun_name;
	unsigned index;

	if (qe_netlink_interface(netlink, name, &index) == QE_OK)
		return -EBUSY;
	QE_TRY(qe_netlink_visit(netlink, look_at, &search));
	return search.found ? QE_ERR_CONFLICT : QE_OK;
}

/* ---- set-up ---- */

static enum qe_error explain_addr(
	enum qe_error error, const struct qe_addr *addr, uint8_t length, struct qe_text *why)
{
	char text[QE_ADDR_TEXT_SIZE];

	if (error == QE_OK)
		return QE_OK;
	qe_addr_format(text, addr);
	qe_text_addf(why, "the address %s/%u cannot be added: %s", text, length,
		error == QE_ERR_UNSUPPORTED ? "this host has no IPv6" : qe_error_text(error));
	return error;
}

static enum qe_error add_overlay(struct qe_helper *helper, const struct qe_addr *overlay,
	bool *ret_overlay, struct qe_text *why)
{
	enum qe_error error = qe_helper_add_addr(helper, overlay, 128);

	*ret_overlay = error != QE_ERR_UNSUPPORTED;
	if (!*ret_overlay)
		return QE_OK;
	QE_TRY(explain_addr(error, overlay, 128, why));
	error = qe_helper_add_routes(helper, &overlay_network, 1, nullptr);
	if (error != QE_OK)
		qe_text_addf(why, "the route to the overlay's network cannot be added: %s",
			qe_error_text(error));
	return error;
}

static enum qe_error add_addrs(
	struct qe_helper *helper, const struct qe_config *config, struct qe_text *why)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;

	for (size_t i = 0; i < addrs->n; i++) {
		const struct qe_addr *addr = &addrs->addrs[i].addr;
		uint8_t length = addrs->addrs[i].prefix.length;

		QE_TRY(explain_addr(qe_helper_add_addr(helper, addr, length), addr, length, why));
	}
	return QE_OK;
}

enum qe_error qe_host_set_up(struct qe_netlink *netlink, struct qe_helper *helper,
	const struct qe_config *config, const struct qe_addr *overlay, bool *ret_overlay,
	struct qe_text *why)
{
	const char *name = config->network.tun_name;
	unsigned index = 0;
	enum qe_error error = qe_netlink_interface(netlink, name, &index);

	if (error == QE_OK)
		error = qe_netlink_up(netlink, index, config->network.mtu, QE_TUN_QUEUE_LENGTH);
	if (error != QE_OK) {
		qe_text_addf(why, "the interface %s cannot be brought up: %s", name,
			qe_error_text(error));
		return error;
	}
	QE_TRY(add_overlay(helper, overlay, ret_overlay, why));
	return add_addrs(helper, config, why);
}

static enum qe_error restore_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length, struct qe_text *why)
{
	enum qe_error error = qe_helper_add_addr(helper, addr, length);

	if (error == QE_OK || error == -EEXIST)
		return QE_OK;
	if (why->len > 0)
		qe_text_add(why, "; ");
	return explain_addr(error, addr, length, why);
}

/* The kernel takes IPv6's addresses from an interface that goes down, and not IPv4's. One failure
 * does not keep it from the rest. */
enum qe_error qe_host_restore(struct qe_helper *helper, const struct qe_config *config,
	const struct qe_addr *overlay, struct qe_text *why)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;
	enum qe_error first = qe_helper_add_addr(helper, overlay, 128);

	if (first == QE_OK || first == -EEXIST)
		first = qe_helper_add_routes(helper, &overlay_network, 1, nullptr);
	if (first == -EEXIST || first == QE_ERR_UNSUPPORTED)
		first = QE_OK;
	if (first != QE_OK)
		qe_text_addf(why, "the overlay's address and route cannot be put back: %s",
			qe_error_text(first));
	for (size_t i = 0; i < addrs->n; i++) {
		enum qe_error error = restore_addr(
			helper, &addrs->addrs[i].addr, addrs->addrs[i].prefix.length, why);

		if (first == QE_OK)
			first = error;
	}
	return first;
}

static bool has_addr(const struct qe_config *config, const struct qe_interface_addr *addr)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;

	for (size_t i = 0; i < addrs->n; i++) {
		if (qe_addr_equal(&addrs->addrs[i].addr, &addr->addr) &&
			addrs->addrs[i].prefix.length == addr->prefix.length)
			return true;
	}
	return false;
}

static enum qe_error change_addr(struct qe_helper *helper, bool add,
	const struct qe_interface_addr *addr, struct qe_text *why)
{
	uint8_t length = addr->prefix.length;
	enum qe_error error = (add ? qe_helper_add_addr : qe_helper_remove_addr)(
		helper, &addr->addr, length);
	char text[QE_ADDR_TEXT_SIZE];

	if (error == QE_OK)
		return QE_OK;
	qe_addr_format(text, &addr->addr);
	qe_text_addf(why, "%sthe address %s/%u cannot be %s: %s", why->len > 0 ? "; " : "", text,
		length, add ? "added" : "removed", qe_error_text(error));
	return error;
}

/* Old ones first: an address may only have another length. */
enum qe_error qe_host_change_addrs(struct qe_helper *helper, const struct qe_config *from,
	const struct qe_config *to, struct qe_text *why)
{
	const struct {
		const struct qe_config *these, *those;
		bool add;
	} steps[] = {{from, to, false}, {to, from, true}};
	enum qe_error first = QE_OK;

	for (size_t i = 0; i < 2; i++) {
		const struct qe_config_list *addrs = &steps[i].these->network.tun_addr;

		for (size_t j = 0; j < addrs->n; j++) {
			enum qe_error error = QE_OK;

			if (!has_addr(steps[i].those, &addrs->addrs[j]))
				error = change_addr(helper, steps[i].add, &addrs->addrs[j], why);
			if (first == QE_OK)
				first = error;
		}
	}
	return first;
}

bool qe_host_is_overlay(const struct qe_prefix *prefix)
{
	return qe_prefix_covers(&overlay_network, prefix);
}

struct qe_prefix qe_host_overlay(void)
{
	return overlay_network;
}

/* ---- changes ---- */

struct fingerprint {
	const char *tun_name;
	uint64_t sum;
};

/* FNV-1a: no stranger chooses what goes in. */
static uint64_t hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ bytes[i]) * UINT64_C(0x100000001b3);
	return seed;
}

static uint64_t hash_addr(uint64_t seed, const struct qe_addr *addr)
{
	return hash(hash(seed, &addr->family, 1), addr->bytes, sizeof(addr->bytes));
}

/* A sum, as the kernel's order means nothing. */
static void add_to_fingerprint(void *ctx, const struct qe_host_entry *entry)
{
	struct fingerprint *fingerprint = ctx;
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	if (qe_addr_is_link_local(&entry->prefix.addr) ||
		qe_addr_is_multicast(&entry->prefix.addr) ||
		strcmp(entry->interface, fingerprint->tun_name) == 0)
		return;
	value = hash_addr(value, &entry->addr);
	value = hash_addr(value, &entry->prefix.addr);
	value = hash(value, &entry->prefix.length, 1);
	value = hash_addr(value, &entry->gateway);
	value = hash(value, entry->interface, strlen(entry->interface));
	value = hash(value, &entry->is_down, sizeof(entry->is_down));
	fingerprint->sum += value;
}

enum qe_error qe_host_fingerprint(
	struct qe_netlink *netlink, const struct qe_config *config, uint64_t *ret_fingerprint)
{
	struct fingerprint fingerprint = {.tun_name = config->network.tun_name};

	QE_TRY(qe_netlink_visit(netlink, add_to_fingerprint, &fingerprint));
	*ret_fingerprint = fingerprint.sum;
	return QE_OK;
}
