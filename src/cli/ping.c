/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ping: a round trip over the control stream of a link, and what the link is made of. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/output.h"
#include "rpc/client.h"

#define COUNT_DEFAULT 4
#define COUNT_MAX 1000000
#define INTERVAL_DEFAULT 1.0 /* seconds */
#define INTERVAL_MIN 0.01
#define INTERVAL_MAX 3600.0
#define TIMEOUT_MS 5000 /* includes the dialling, if there is no link yet */

struct run {
	unsigned count;
	double interval;
	unsigned sent, answered;
	double min, max, sum; /* of the round trips, in ms */
	json_t *replies;      /* with --json */
};

static enum qe_exit parse_count(unsigned *ret_count, const struct qe_args *args)
{
	const char *text = qe_args_get(args, "count");
	char *end;

	*ret_count = COUNT_DEFAULT;
	if (!text)
		return QE_EXIT_OK;
	long count = strtol(text, &end, 10);
	if (end == text || *end || count < 1 || count > COUNT_MAX)
		return qe_fail(args, QE_EXIT_USAGE, "--count %s: expected a number from 1 to %d",
			text, COUNT_MAX);
	*ret_count = (unsigned)count;
	return QE_EXIT_OK;
}

static enum qe_exit parse_interval(double *ret_interval, const struct qe_args *args)
{
	const char *text = qe_args_get(args, "interval");
	char *end;

	*ret_interval = INTERVAL_DEFAULT;
	if (!text)
		return QE_EXIT_OK;
	double interval = strtod(text, &end);
	if (end == text || *end || !(interval >= INTERVAL_MIN && interval <= INTERVAL_MAX))
		return qe_fail(args, QE_EXIT_USAGE,
			"--interval %s: expected seconds from 0.01 to 3600", text);
	*ret_interval = interval;
	return QE_EXIT_OK;
}

static void count_reply(struct run *run, json_t *reply)
{
	double rtt = qe_get_real(reply, "rtt_ms");

	run->min = run->answered == 0 || rtt < run->min ? rtt : run->min;
	run->max = rtt > run->max ? rtt : run->max;
	run->sum += rtt;
	run->answered++;
}

static void show_peer(json_t *reply)
{
	const char *peer = qe_get_text(reply, "peer"), *id = qe_get_text(reply, "id");

	if (strcmp(peer, id) != 0)
		printf("%s is ", peer);
	printf("%s: %s, %s, path MTU %" PRIu64 "\n", id, qe_get_text(reply, "key_exchange"),
		qe_get_text(reply, "cipher"), qe_get_uint(reply, "path_mtu"));
}

static void show_reply(const struct run *run, json_t *reply)
{
	char rtt[64], age[64];
	struct qe_text to_rtt = qe_text_init(rtt, sizeof rtt);
	struct qe_text to_age = qe_text_init(age, sizeof age);
	const char *local = json_string_value(qe_get(reply, "path.local"));

	qe_add_ms(&to_rtt, qe_get_real(reply, "rtt_ms"));
	qe_add_duration(&to_age, qe_get_uint(reply, "key_age_secs"));
	if (run->answered == 1)
		show_peer(reply);
	printf("%u: %s, %s%s%s, keys %s old\n", run->sent, rtt, local ? local : "",
		local ? " -> " : "", qe_get_text(reply, "path.remote"), age);
	fflush(stdout);
}

/* One round trip. A peer that does not answer is no reason to stop; any other failure is. */
static enum qe_exit ping_once(const struct qe_args *args, struct run *run)
{
	struct qe_rpc_error why;
	json_t *reply;
	json_t *params = json_pack(
		"{s:s,s:i}", "peer", args->operands[0], "timeout_ms", TIMEOUT_MS);

	run->sent++;
	enum qe_error error = qe_rpc_call(qe_args_socket(args), "ping", params, &reply, &why);
	json_decref(params);
	if (error == -ETIMEDOUT && why.code != 0) {
		if (!run->replies)
			printf("%u: no answer\n", run->sent);
		return QE_EXIT_OK;
	}
	if (error != QE_OK)
		return qe_fail_call(args, error, &why);
	count_reply(run, reply);
	if (run->replies) {
		json_array_append_new(run->replies, reply);
		return QE_EXIT_OK;
	}
	show_reply(run, reply);
	json_decref(reply);
	return QE_EXIT_OK;
}

static void pause_for(double seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds};

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static void summarize(const struct run *run)
{
	char min[64], mean[64], max[64];
	struct qe_text to_min = qe_text_init(min, sizeof min);
	struct qe_text to_mean = qe_text_init(mean, sizeof mean);
	struct qe_text to_max = qe_text_init(max, sizeof max);

	qe_add_ms(&to_min, run->min);
	qe_add_ms(&to_mean, run->answered ? run->sum / run->answered : 0);
	qe_add_ms(&to_max, run->max);
	printf("%u sent, %u answered", run->sent, run->answered);
	if (run->answered)
		printf(": min %s, mean %s, max %s", min, mean, max);
	printf("\n");
}

static json_t *run_json(const struct qe_args *args, const struct run *run)
{
	json_t *rtt = json_null();

	if (run->answered)
		rtt = json_pack("{s:f,s:f,s:f}", "min", run->min, "mean", run->sum / run->answered,
			"max", run->max);
	return json_pack("{s:s,s:i,s:i,s:o,s:O}", "peer", args->operands[0], "sent", (int)run->sent,
		"answered", (int)run->answered, "rtt_ms", rtt, "replies", run->replies);
}

static enum qe_exit ping_all(const struct qe_args *args, struct run *run)
{
	while (run->sent < run->count) {
		if (run->sent)
			pause_for(run->interval);
		enum qe_exit code = ping_once(args, run);
		if (code != QE_EXIT_OK)
			return code;
	}
	if (run->replies)
		qe_print_json(run_json(args, run));
	else
		summarize(run);
	return run->answered ? QE_EXIT_OK : QE_EXIT_ERROR;
}

enum qe_exit qe_command_ping(const struct qe_args *args)
{
	struct run run = {};
	enum qe_exit code = parse_count(&run.count, args);

	if (code == QE_EXIT_OK)
		code = parse_interval(&run.interval, args);
	if (code != QE_EXIT_OK)
		return code;
	if (qe_args_get(args, "json"))
		run.replies = json_array();
	code = ping_all(args, &run);
	json_decref(run.replies);
	return code;
}
