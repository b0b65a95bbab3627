/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The parts of a proxy, and the stages of its start that make it a node. */
#pragma once

#include "daemon/endpoints.h"
#include "daemon/events.h"
#include "daemon/verdicts.h"
#include "os/netlink.h"
#include "proxy/client.h"
#include "proxy/proxy.h"

struct listener {
	struct qe_watch watch; /* fd is -1 where there is none */
	struct proxy *proxy;
	enum qe_client_protocol protocol;
	bool paused;
};

struct proxy {
	struct qe_config *config;
	struct qe_key *key;
	const struct qe_proxy_settings *settings;
	struct qe_log log;
	int exit_code;
	bool stopping;
	struct qe_directory *directory;
	struct qe_loop *loop;
	struct qe_watch signals;
	struct qe_event_log *event_log;
	struct qe_policy_keeper *policy;
	struct qe_policy_draft *first_policy; /* until the node has it */
	struct qe_node *node;
	struct qe_verdicts *verdicts;
	struct qe_udp *udp;
	struct qe_tun *ends[2]; /* of the cable: the worker's, the stack's */
	struct qe_workers *workers;
	struct qe_netlink_monitor *monitor; /* NULL: there is none here */
	struct qe_watch network;
	struct qe_alarm network_alarm;
	struct qe_resolver *resolver;
	struct qe_endpoints *endpoints;
	struct qe_stack *stack;
	struct qe_names *names;
	struct qe_users *users;
	struct listener listeners[2];
	qe_time said_full; /* for qe_time_take */
	struct qe_clients *clients;
	uint64_t up[QE_PEERS_MAX / 64]; /* peers that have a link, a bit for each slot */
};

/* Says why the start has failed; returns the error. */
[[gnu::format(printf, 3, 4)]] enum qe_error proxy_fail(
	struct proxy *proxy, enum qe_error error, const char *format, ...);

/* Each says why, when it fails. The stops are for starts that failed half way, too. */
enum qe_error proxy_start_policy(struct proxy *proxy);
void proxy_stop_policy(struct proxy *proxy);
enum qe_error proxy_start_node(struct proxy *proxy);
void proxy_stop_node(struct proxy *proxy);
enum qe_error proxy_start_udp(struct proxy *proxy);
void proxy_stop_udp(struct proxy *proxy);
enum qe_error proxy_start_workers(struct proxy *proxy);
void proxy_stop_workers(struct proxy *proxy);
enum qe_error proxy_start_network(struct proxy *proxy);
void proxy_stop_network(struct proxy *proxy);
enum qe_error proxy_start_endpoints(struct proxy *proxy);
void proxy_stop_endpoints(struct proxy *proxy);
/* What the other threads have brought since the last turn. */
void proxy_take_news(struct proxy *proxy);

bool proxy_is_connected(const struct proxy *proxy); /* to any peer */
/* Whether there is a way to the address; for struct qe_clients, as the next. */
enum qe_error proxy_check(void *ctx, const struct qe_addr *addr);
bool proxy_is_up(void *ctx, const struct qe_addr *addr);
