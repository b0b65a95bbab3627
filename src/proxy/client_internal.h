/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of a client share. */
#pragma once

#include "base/time.h"
#include "proxy/client.h"
#include "proxy/target.h"

enum state : uint8_t {
	GREETING, /* SOCKS alone, as is the next */
	LOGIN,
	REQUEST,
	LOOKING_UP,
	CONNECTING,
	RELAYING,
	LEAVING
};

struct client {
	struct qe_clients *all;
	struct qe_list node;
	struct qe_watch watch;
	struct qe_alarm alarm;
	enum qe_client_protocol protocol;
	enum state state;
	bool readable, writable;
	bool client_ended, stream_ended; /* each has been told of the other's end */
	/* A request for a server, which alone answers: what the client sends beyond left bytes
	 * belongs to no request. */
	bool plain_http;
	qe_time deadline;
	uint64_t left; /* bytes of head and body, if plain_http */
	/* What came before the stream was there; in has at bytes that are done with. */
	uint8_t *in;
	size_t at, n;
	struct qe_target target;
	struct qe_question *question;
	struct qe_addr addrs[QE_NAME_ADDRS_MAX];
	size_t n_addrs, next_addr;
	enum qe_error problem; /* of the address tried last */
	struct qe_stream *stream;
};

/* client.c */
void client_set_deadline(struct client *client, qe_time at);
void client_forget_input(struct client *client);
void client_end(struct client *client, bool abort); /* it is gone then */
/* When all has been said: what was said last is to arrive. */
void client_leave(struct client *client);
/* The answer to a request that nothing comes of, as the protocol has it; then leaves. */
void client_refuse(struct client *client, enum qe_error error);

/* client_request.c */
void client_shake_hands(struct client *client);
/* The deadline has come. */
void client_give_up_handshake(struct client *client);
/* To a request that has been met. */
bool client_say_connected(struct client *client);
/* To one that has not. */
void client_say_refused(struct client *client, enum qe_error error);

/* client_connect.c: for the target of a request. */
void client_connect(struct client *client);
void client_give_up_address(struct client *client);

/* client_relay.c */
void client_start_relaying(struct client *client);
void client_relay(struct client *client);
void client_relay_alarm(struct client *client, qe_time now);
