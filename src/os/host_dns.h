/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Whom the host's programs ask for names: changed to a server of ours, and back. It runs in the
 * helper (qe_helper_set_dns in os/helper.h); nothing in it takes longer than a few seconds.
 */
#pragma once

#include "os/netlink.h"
#include "os/resolv_file.h"
#include "os/undo.h"

/* Where the daemon's own resolver listens: an address of this host alone, on hosts without IPv6
 * too, that no other program uses. */
#define QE_HOST_DNS_SERVER ((struct qe_addr){QE_FAMILY_IPV4, {127, 0, 0, 84}})
#define QE_HOST_DNS_UPSTREAMS_MAX 8

#define QE_HOST_DNS_RESOLV_CONF "/etc/resolv.conf"
/* Written by systemd-resolved whenever something changes, and when it starts. */
#define QE_HOST_DNS_RESOLVED_CONF "/run/systemd/resolve/resolv.conf"

enum qe_host_dns_method : uint8_t {
	QE_HOST_DNS_NONE,
	QE_HOST_DNS_RESOLVED,   /* systemd-resolved, by D-Bus */
	QE_HOST_DNS_RESOLVCONF, /* the program resolvconf, of openresolv or Debian */
	QE_HOST_DNS_FILE,       /* /etc/resolv.conf */
};

struct qe_host_dns_answer {
	enum qe_host_dns_method method;
	/* What the host asked before, in its order: the names of peers are asked there. */
	struct qe_addr upstream[QE_HOST_DNS_UPSTREAMS_MAX];
	size_t n_upstream;
};

const char *qe_host_dns_method_name(enum qe_host_dns_method method);
/* Whom the host asks now, as far as files tell, and ours is not in the way: to be asked without any
 * privilege. The method stays. */
void qe_host_dns_find_upstreams(struct qe_host_dns_answer *answer);

/* What has been done of it. */
struct qe_host_dns {
	char interface[QE_INTERFACE_NAME_SIZE];
	struct qe_journal *journal; /* to be set before anything is changed */
	uint8_t used;               /* bits, by method */
	struct qe_resolv_conf conf;
	struct qe_resolv_file file;
	struct qe_host_dns_answer answer;
};

void qe_host_dns_init(struct qe_host_dns *dns, const char *interface);
/* All names are asked of QE_HOST_DNS_SERVER; again, if somebody has changed it meanwhile. search: a
 * domain, or NULL. *why says of each way that failed, even where another one went well. On an error
 * names are asked as before, and the answer has the upstreams all the same. */
enum qe_error qe_host_dns_set(struct qe_host_dns *dns, const char *search,
	struct qe_host_dns_answer *ret_answer, struct qe_text *why);
/* Whether it is so still. */
bool qe_host_dns_holds(const struct qe_host_dns *dns);
/* As it was, but what somebody else has changed meanwhile stays; and what the journal has of a
 * process before this one, too. QE_ERR_INTERNAL: not all of it, and that stays in the journal. */
enum qe_error qe_host_dns_unset(struct qe_host_dns *dns);
/* What was changed stays, and others may undo it. */
void qe_host_dns_done(struct qe_host_dns *dns);
/* A resolv.conf of ours that nobody has any more goes, and the former one comes back: the journal
 * does not outlive the machine's end, the file does. */
void qe_host_dns_recover(void);

/* Entries in the journal: the method, and the interface. */
qe_undo_kind qe_host_dns_undo;
