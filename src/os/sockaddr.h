/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Endpoints in the operating system's spelling; inside of os/ only. */
#pragma once

#include <sys/socket.h>

#include "net/addr.h"

/* mapped: spell IPv4 as ::ffff:a.b.c.d, as a socket of both families wants it. */
socklen_t qe_sockaddr_from_endpoint(
	struct sockaddr_storage *ret_to, const struct qe_endpoint *endpoint, bool mapped);
/* A mapped address becomes IPv4. Family QE_FAMILY_NONE for anything but IP. */
struct qe_endpoint qe_sockaddr_to_endpoint(const struct sockaddr_storage *from);
/* 16 bytes of IPv6, perhaps a mapped IPv4. */
struct qe_addr qe_sockaddr_unmap(const uint8_t bytes[static 16]);
void qe_sockaddr_map(uint8_t to[static 16], const struct qe_addr *ipv4);
