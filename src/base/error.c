/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * base - what every folder needs and libc does not give: errors, byte cursors, containers, text.
 *
 * Invariants: nothing here does I/O, reads a clock, or keeps global state, so everything is as
 * thread-safe as the object it is called on; struct qe_ring alone may be used by two threads at
 * once, one at each end. Growable things have a maximum, and memory is only taken where the header
 * says so.
 */
#define _GNU_SOURCE
#include "base/error.h"

#include <errno.h>
#include <string.h>

enum qe_error qe_error_errno(void)
{
	return errno > 0 ? (enum qe_error) - errno : QE_ERR_INTERNAL;
}

static const char *system_text(int number)
{
	/* Unlike strerror it is not translated and needs no buffer, hence thread-safe. */
	const char *text = strerrordesc_np(number);

	return text ? text : "Unknown system error";
}

const char *qe_error_text(enum qe_error error)
{
	switch (error) {
	case QE_OK:
		return "Success";
	case QE_ERR_SYNTAX:
		return "Malformed input";
	case QE_ERR_RANGE:
		return "Value out of range";
	case QE_ERR_TRUNCATED:
		return "Input ended too early";
	case QE_ERR_FULL:
		return "No room left";
	case QE_ERR_CRYPTO:
		return "Cryptographic operation failed";
	case QE_ERR_KEY_EXPOSED:
		return "Key file is accessible to others than its owner";
	case QE_ERR_KEY_TYPE:
		return "Unsupported type of key";
	case QE_ERR_UNSUPPORTED:
		return "Not supported by this build or this machine";
	case QE_ERR_NOT_FOUND:
		return "Not found";
	case QE_ERR_AMBIGUOUS:
		return "Ambiguous name";
	case QE_ERR_CONFLICT:
		return "Contradicts something that is there already";
	case QE_ERR_PROTOCOL:
		return "Peer broke the protocol";
	case QE_ERR_CLOSED:
		return "Link is closed";
	case QE_ERR_BLOCKED:
		return "Congestion window is full";
	case QE_ERR_TOO_BIG:
		return "Packet does not fit the path MTU";
	case QE_ERR_HOST_BITS:
		return "Prefix has bits set beyond its length";
	case QE_ERR_INTERNAL:
		return "Internal error";
	}
	if (error > -1000 && error < 0)
		return system_text(-(int)error);
	return "Unknown error";
}
