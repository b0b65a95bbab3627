/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The configuration: what the operator said, checked as a whole. Defaults, then the file, then the
 * environment, then flags; every value knows where it came from. It is read only after loading, so
 * any number of threads may share it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config/diagnostics.h"
#include "quicether.h"

#define QE_PORT_DEFAULT 7844
#define QE_SOCKET_PATH_DEFAULT "/run/quicether/quicether.sock"
#define QE_CONFIG_ENVIRONMENT "QUICETHER_CONFIG"
#define QE_SOCKET_ENVIRONMENT "QUICETHER_SOCKET"
#define QE_NAME_MAX 63
#define QE_TUN_NAME_SIZE 16 /* IFNAMSIZ */
#define QE_DSCP_MAX 63

/* Most items in one list, and the most bytes in the file. */
#define QE_PEER_PREFIXES_MAX 64
#define QE_PEER_GROUPS_MAX 64
#define QE_TUN_ADDRS_MAX 64
#define QE_ADVERTISE_MAX 1024
#define QE_FORWARD_MAX 1024
#define QE_ACCEPT_MAX 1024
#define QE_PROBES_MAX 16
#define QE_VPN_LIST_MAX 256 /* of exclude and of include */
#define QE_VPN_DNS_MAX 8
#define QE_DOMAINS_MAX 64
#define QE_DOMAIN_MAX 253 /* characters of a domain */
#define QE_CPU_MAX 1023
#define QE_CONFIG_FILE_MAX (1024 * 1024)

enum qe_role { QE_ROLE_NODE, QE_ROLE_GATEWAY, QE_ROLE_ENTERPRISE };
enum qe_lan_access { QE_VPN_LAN_BLOCK, QE_VPN_LAN_ALLOW };
enum qe_log_level { QE_LOG_ERROR, QE_LOG_WARN, QE_LOG_INFO, QE_LOG_DEBUG };

/* Where a value came from. Line and column count from 1, and are 0 outside of the file. */
enum qe_source : uint8_t {
	QE_SOURCE_DEFAULT,
	QE_SOURCE_FILE,
	QE_SOURCE_ENVIRONMENT,
	QE_SOURCE_FLAG
};

struct qe_origin {
	enum qe_source source;
	uint32_t line, column;
};

/* "100.64.0.1/24": the address itself, and the prefix it lies in (a host if no length was given).
 */
struct qe_interface_addr {
	struct qe_addr addr;
	struct qe_prefix prefix;
};

/* Not resolved: host is a literal address (without brackets, perhaps with a %scope) or a name. */
struct qe_host_port {
	char *host;
	uint16_t port;
};

/* "corp.example" = "10.0.0.53": in lower case, without a dot at its end. */
struct qe_config_domain {
	char *suffix;
	struct qe_endpoint server;
};

/* The key's type says which member holds the n items. origins: one for each. */
struct qe_config_list {
	union {
		struct qe_prefix *prefixes;
		struct qe_interface_addr *addrs;
		struct qe_host_port *endpoints;
		struct qe_config_domain *domains;
		uint16_t *integers;
		char **names;
		void *items;
	};
	struct qe_origin *origins;
	size_t n;
	const char *word; /* of the schema, if one stood for the whole list: "all"; otherwise NULL
			   */
};

#define QE_CONFIG_KEYS 35
#define QE_CONFIG_PEER_KEYS 8

struct qe_config_peer {
	char *name; /* NULL if it has none */
	struct qe_node_id id;
	struct qe_config_list endpoints;       /* endpoints */
	struct qe_config_list addresses;       /* prefixes; hosts */
	struct qe_config_list subnets;         /* prefixes */
	struct qe_config_list gateway_subnets; /* prefixes */
	bool exit;
	struct qe_config_list groups; /* names */
	/* addresses, then subnets: what it may send from and what is routed to it, besides its own
	 * overlay address. */
	struct qe_prefix *prefixes;
	size_t n_prefixes;
	struct qe_origin origin; /* of the [[peers]] header or the flag */
	struct qe_origin origins[QE_CONFIG_PEER_KEYS];
};

/* Who resolves names while VPN mode is on. */
enum qe_vpn_dns {
	QE_VPN_DNS_GATEWAY, /* the gateway's resolver */
	QE_VPN_DNS_SERVERS, /* those of vpn.dns, through the tunnel */
	QE_VPN_DNS_OFF      /* whoever did before */
};

struct qe_config {
	char *file;        /* the file that was read; NULL if there was none */
	char *socket_path; /* of the control socket; never from the file */
	struct {
		char *name;
		enum qe_role role;
		char *key_file;
	} node;
	struct {
		struct qe_endpoint listen;               /* "[::]" takes IPv4 too */
		char *tun_name;                          /* fits QE_TUN_NAME_SIZE */
		struct qe_config_list tun_addr;          /* addrs */
		struct qe_config_list advertise_subnets; /* prefixes */
		struct qe_config_list forward_subnets;   /* prefixes */
		struct qe_config_list masquerade;        /* prefixes: destinations */
		struct qe_config_list probe;             /* prefixes; hosts */
		uint16_t metric;
		uint16_t mtu;
		uint16_t dscp; /* 0 to QE_DSCP_MAX */
		bool exit;     /* forwards for everything, with NAT */
	} network;
	struct {
		char *default_gateway;               /* as written; NULL: none */
		struct qe_config_list accept_routes; /* prefixes: what lies in one of them */
		bool accept_routes_over_lan;
	} overlay;
	struct {
		bool enabled;
		char *via;                     /* as written; NULL: default_gateway */
		struct qe_config_list exclude; /* prefixes */
		struct qe_config_list include; /* prefixes; none: everything */
		enum qe_lan_access lan;
		bool kill_switch;
		struct qe_config_list dns; /* prefixes; hosts */
		enum qe_vpn_dns dns_mode;
		char *captive_portal; /* an http URL; NULL: none */
	} vpn;
	struct {
		struct qe_config_list domains; /* domains */
		char *network;                 /* one label, in lower case */
	} dns;
	struct {
		enum qe_pq pq;
		enum qe_cipher cipher;
		uint16_t rotate_secs;
		char *policy_file; /* NULL: none */
		char *audit_log;   /* NULL: none */
	} security;
	struct {
		uint16_t workers;                   /* 0: as many as are good here */
		struct qe_config_list cpu_affinity; /* integers: of each worker, if there are any */
	} performance;
	struct {
		enum qe_log_level log_level;
	} monitoring;
	struct qe_config_peer *peers;
	size_t n_peers;
	size_t default_gateway; /* the index of that peer; SIZE_MAX if there is none */
	size_t vpn_gateway;     /* of vpn.via, else of default_gateway; SIZE_MAX likewise */
	/* tun_addr as hosts, then advertise_subnets: what is this node's, besides its own overlay
	 * address. */
	struct qe_prefix *local;
	size_t n_local;
	/* What it forwards for without owning it: forward_subnets, and everything if it is an exit.
	 */
	struct qe_prefix *forward;
	size_t n_forward;
	struct qe_origin origins[QE_CONFIG_KEYS];
};

/* A flag as the command line gave it, without the dashes: "listen", "peer". */
struct qe_config_flag {
	const char *name, *value;
};

struct qe_config_inputs {
	const char *file;                   /* of --config; NULL: search */
	char *const *environment;           /* as environ: "NAME=value", then NULL; may be NULL */
	const struct qe_config_flag *flags; /* in the order given */
	size_t n_flags;
	const char *socket_path; /* NULL: the default */
};

/* Find the file, read it, put environment and flags on top, check everything. Either a whole
 * configuration or errors: at least one of them in diagnostics, which is emptied first, and
 * QE_ERR_SYNTAX, or what kept the file from being read. No file at all is fine, unless one was
 * named. */
enum qe_error qe_config_load(struct qe_config **ret_config, const struct qe_config_inputs *inputs,
	struct qe_diagnostics *diagnostics);
/* The same from text in memory, which stands in for a file of that name. */
enum qe_error qe_config_parse(struct qe_config **ret_config, const struct qe_config_inputs *inputs,
	const char *name, struct qe_bytes text, struct qe_diagnostics *diagnostics);
struct qe_config *qe_config_free(struct qe_config *config); /* NULL-safe; returns NULL */

/* What can be checked only once the node's own key is known: it must not be among the peers. */
enum qe_error qe_config_check_identity(const struct qe_config *config, const struct qe_node_id *own,
	struct qe_diagnostics *diagnostics);

/* "/etc/quicether/config.toml:7:10: network.listen", "QUICETHER_NETWORK_LISTEN", "--listen" or
 * "network.listen (default)": for errors that show only when the value is used. key: as in
 * "network.listen". */
void qe_config_where(const struct qe_config *config, const char *key, char *to, size_t size);
/* The same for endpoint i of a peer: "/etc/quicether/config.toml:21:15: peers.endpoints". */
void qe_config_where_endpoint(
	const struct qe_config *config, size_t peer, size_t i, char *to, size_t size);

enum qe_config_format { QE_CONFIG_TOML, QE_CONFIG_JSON };

/* The effective configuration as a text, to be freed: as TOML with a comment on each value that
 * says where it came from, or as one JSON object with a member "sources". The TOML loads again to
 * the same configuration. */
enum qe_error qe_config_show(
	char **ret_text, const struct qe_config *config, enum qe_config_format format);

/* The words of enum values, as in the file. */
const char *qe_role_name(enum qe_role role);
const char *qe_log_level_name(enum qe_log_level level);
const char *qe_pq_name(enum qe_pq pq);
const char *qe_cipher_name(enum qe_cipher cipher);
