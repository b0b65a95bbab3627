/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What VPN mode makes of the host: plain data, the same for the daemon, for the helper that does it
 * (qe_helper_vpn in os/helper.h), and for the kill switch. */
#pragma once

#include "net/addr.h"
#include "os/netlink.h"

#define QE_VPN_PREFIXES_MAX 256
#define QE_VPN_LANS_MAX 64
#define QE_VPN_SERVERS_MAX 80 /* the resolvers of all names, and those of single domains */
#define QE_VPN_ADDRESSES_MAX 66
#define QE_VPN_PORTAL_SECONDS_MAX 900

/* Packets with it go beside the tunnel: those of our own sockets, and of bypassed programs. */
#define QE_VPN_MARK QE_DEFAULT_TABLE
/* Programs with it go through the tunnel whatever the rest does; and its table. */
#define QE_VPN_ONLY_MARK 20806
#define QE_VPN_NFT_TABLE "quicether_vpn" /* of family inet */

/* A private or link-local prefix of a directly connected network. */
struct qe_vpn_lan {
	struct qe_prefix prefix;
	char interface[QE_INTERFACE_NAME_SIZE];
};

struct qe_vpn_plan {
	/* What the host sends goes into the tunnel: all, or where anything is included, only that.
	 */
	bool system;
	bool only; /* so do programs with QE_VPN_ONLY_MARK, whatever the rest does */
	bool kill_switch;
	/* The gateway's NodeId. With a kill switch it is remembered for a daemon after this one,
	 * which goes on if this one ends without a word. */
	char via[QE_NODE_ID_TEXT_SIZE];
	/* Plain DNS (port 53) goes to this host's resolver, or through the tunnel to one of
	 * servers, or nowhere. */
	bool dns;
	bool multicast; /* link-local multicast and broadcast on the interfaces of lan */
	uint16_t n_exclude, n_include, n_lan, n_servers, n_addresses;
	struct qe_prefix exclude[QE_VPN_PREFIXES_MAX], include[QE_VPN_PREFIXES_MAX];
	struct qe_vpn_lan lan[QE_VPN_LANS_MAX];
	struct qe_addr servers[QE_VPN_SERVERS_MAX]; /* DNS servers behind the tunnel */
	/* The tunnel's own: what comes to them by another interface is dropped. */
	struct qe_addr addresses[QE_VPN_ADDRESSES_MAX];
	/* If not 0, HTTP(S) and DNS of this host go beside the tunnel for so long; at most
	 * QE_VPN_PORTAL_SECONDS_MAX. */
	uint32_t portal_seconds;
};
