/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Asks hosts whether they are there: ICMP echo. Opening it may take CAP_NET_RAW, using it does not.
 */
#pragma once

#include "net/addr.h"

struct qe_echo;

/* -EACCES or -EPERM: neither is the process's group among those that may (the setting
 * net.ipv4.ping_group_range), nor does it have the capability. */
enum qe_error qe_echo_new(struct qe_echo **ret_echo, enum qe_family family);
struct qe_echo *qe_echo_free(struct qe_echo *echo); /* NULL-safe */
int qe_echo_fd(const struct qe_echo *echo);

/* What cannot be sent is as good as not answered. */
void qe_echo_send(struct qe_echo *echo, const struct qe_addr *to);
/* Whether there is one more answer to what was sent: from whom, and by which interface it came. */
bool qe_echo_receive(struct qe_echo *echo, struct qe_addr *ret_from, unsigned *ret_interface);
