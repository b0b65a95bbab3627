/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* From a target to a stream. */
#include <errno.h>

#include "os/clock.h"
#include "proxy/client_internal.h"

constexpr qe_time connect_time = 20 * QE_SECOND; /* for name and connection together */
constexpr qe_time try_time = 4 * QE_SECOND;      /* for an address that is not the last */
constexpr qe_time retry_time = QE_SECOND / 4;

static void try_next(struct client *client);

static void on_stream(void *ctx)
{
	struct client *client = ctx;

	if (client->state == RELAYING) {
		client_relay(client);
		return;
	}
	switch (qe_stream_state(client->stream)) {
	case QE_STREAM_CONNECTING:
		return;
	case QE_STREAM_OPEN:
		client_start_relaying(client);
		return;
	case QE_STREAM_FAILED:
		client->problem = qe_stream_error(client->stream);
		client->stream = qe_stream_free(client->stream);
		try_next(client);
		return;
	}
}

/* A server that says nothing, and a tunnel that is down, look alike to TCP. */
static enum qe_error explain_silence(const struct client *client)
{
	const struct qe_addr *addr = &client->addrs[client->next_addr - 1];

	return client->all->is_up(client->all->ctx, addr) ? -ETIMEDOUT : -ENETDOWN;
}

static enum qe_error connect_to(struct client *client, const struct qe_addr *addr)
{
	const struct qe_endpoint to = {.addr = *addr, .port = client->target.port};

	QE_TRY(client->all->check(client->all->ctx, addr));
	return qe_stream_new(&client->stream, client->all->stack, &to, on_stream, client);
}

/* Nobody is connected yet, and so nobody has said what can be reached. */
static void wait_for_routes(struct client *client, qe_time now)
{
	client->next_addr--;
	client->problem = -ENETDOWN;
	client->state = CONNECTING;
	(void)!qe_loop_set_alarm(
		client->all->loop, &client->alarm, qe_time_min(client->deadline, now + retry_time));
}

static void try_next(struct client *client)
{
	const qe_time now = qe_clock_now();

	while (client->next_addr < client->n_addrs && now < client->deadline) {
		const bool is_last = client->next_addr + 1 == client->n_addrs;
		const qe_time end = is_last ? client->deadline
					    : qe_time_min(client->deadline, now + try_time);

		client->problem = connect_to(client, &client->addrs[client->next_addr++]);
		if (client->problem == -EAGAIN) {
			wait_for_routes(client, now);
			return;
		}
		if (client->problem != QE_OK)
			continue;
		client->state = CONNECTING;
		(void)!qe_loop_set_alarm(client->all->loop, &client->alarm, end);
		return;
	}
	client_refuse(client, client->problem);
}

static void on_answered(void *ctx, const struct qe_addr *addrs, size_t n)
{
	struct client *client = ctx;

	/* The addresses may be the question's. */
	if (n > 0)
		memcpy(client->addrs, addrs, n * sizeof(*addrs));
	client->question = qe_question_free(client->question);
	client->n_addrs = n;
	client->problem = QE_ERR_NOT_FOUND;
	try_next(client);
}

void client_connect(struct client *client)
{
	const qe_time now = qe_clock_now();
	enum qe_error error;

	client_set_deadline(client, now + connect_time);
	client->state = LOOKING_UP;
	if (!client->target.name[0]) {
		on_answered(client, &client->target.addr, 1);
		return;
	}
	error = qe_question_new(&client->question, client->all->names, client->target.name,
		on_answered, client, now);
	if (error != QE_OK)
		client_refuse(client, error);
}

void client_give_up_address(struct client *client)
{
	if (client->stream)
		client->problem = explain_silence(client);
	client->stream = qe_stream_free(client->stream);
	try_next(client);
}
