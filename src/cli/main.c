/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * cli - the program.
 *
 * One table of commands gives each its operands, options, examples and the function that runs it;
 * reading the command line and writing help (args.c) follow the table, so that no command does
 * either itself. `start` becomes the daemon; the others that concern a running node ask its daemon
 * over the control socket and show the answer, as a text for people or, with --json, as it came.
 *
 * Invariants: only this folder prints, and the daemon's log. Answers go to standard output, errors
 * to standard error (with --json to standard output, as JSON). The exit code is one of enum
 * qe_exit.
 */
#include <string.h>

#include "cli/output.h"
#include "os/journal.h"
#include "os/process.h"

static const struct qe_command commands[] = {
	{
		.name = "keygen",
		.summary = "Make this node's key.",
		.description =
			"Prints the NodeId, which others put into their configuration, and the "
			"overlay\n"
			"address that follows from it. A key that is there is never overwritten.",
		.options = {{"type", 't', "TYPE", "ed25519 (the default) or ml-dsa-65."},
			{"out", 'o', "PATH", "Where to write the key (default: node.key_file)."}},
		.examples = {"quicether keygen",
			"quicether keygen --type ml-dsa-65 --out ./node.key"},
		.run = qe_command_keygen,
	},
	{
		.name = "id",
		.operands = "[PATH]",
		.n_max = 1,
		.summary = "Show the NodeId and the overlay address of a key.",
		.description = "PATH is a key file (default: node.key_file).",
		.examples = {"quicether id", "quicether id --json ./node.key"},
		.run = qe_command_id,
	},
	{
		.name = "start",
		.summary = "Start the node.",
		.description = "Runs until it is stopped. A machine without a key gets one. "
			       "Stopping leaves the\n"
			       "host as it was: interface, addresses and routes are gone.",
		.takes_config = true,
		.takes_socket = true,
		.options = {{"daemon", 'd', nullptr,
			"Go to the background once the node is up, or say why it is not."}},
		.examples = {"quicether start --daemon",
			"quicether start --peer oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp@192.0.2.7",
			"quicether start --tun-addr 100.64.0.1 --advertise-subnet 192.168.1.0/24",
			"quicether start --daemon --vpn --via gateway"},
		.run = qe_command_start,
	},
	{
		.name = "proxy",
		.summary = "Open SOCKS 5 and HTTP proxies into the overlay, without any rights.",
		.description =
			"For those without root: a node of its own, with no interface. What "
			"programs ask of the\n"
			"proxies goes through the tunnel, names too. Runs until it is stopped.",
		.takes_config = true,
		.options = {{"socks", 0, "ADDR:PORT",
				    "Where to listen for SOCKS 5 (default 127.0.0.1:1080), or "
				    "none."},
			{"http", 0, "ADDR:PORT",
				"Where to listen for HTTP (default 127.0.0.1:3128), or none."},
			{"password-file", 0, "FILE",
				"Who may use it, a line NAME:PASSWORD each (default: whoever can "
				"connect)."}},
		.examples = {"quicether proxy --via gateway",
			"curl --proxy socks5h://127.0.0.1:1080 https://example.org/"},
		.run = qe_command_proxy,
	},
	{
		.name = "stop",
		.summary = "Stop the node, and wait until it has ended.",
		.description = "Where none runs, what one that was killed has left behind is "
			       "undone, as with repair.",
		.takes_socket = true,
		.options = {{"hold", 0, nullptr,
			"Leave VPN mode's kill switch standing for the next start."}},
		.examples = {"quicether stop", "quicether stop --hold"},
		.run = qe_command_stop,
	},
	{
		.name = "reload",
		.summary = "Apply a changed configuration to the running node.",
		.description =
			"Links to peers that stay are not touched. A configuration that is "
			"not valid changes\nnothing, and the errors are printed. What counts "
			"from the next start only is named.",
		.takes_socket = true,
		.examples = {"quicether reload"},
		.run = qe_command_reload,
	},
	{
		.name = "status",
		.summary = "Show how the node is.",
		.takes_socket = true,
		.examples = {"quicether status", "quicether status --json | jq .peers"},
		.run = qe_command_status,
	},
	{
		.name = "peers",
		.summary = "Show the peers and their links.",
		.takes_socket = true,
		.examples = {"quicether peers"},
		.run = qe_command_peers,
	},
	{
		.name = "routes",
		.summary = "Show all ways to each prefix, and which is used.",
		.takes_socket = true,
		.options = {{"rejected", 0, nullptr,
			"What peers announce and are not believed, and why."}},
		.examples = {"quicether routes", "quicether routes --rejected"},
		.run = qe_command_routes,
	},
	{
		.name = "route get",
		.operands = "ADDRESS",
		.n_min = 1,
		.n_max = 1,
		.summary = "Show where packets to an address go, and why there.",
		.description = "And what the policy says to one: an echo request, unless a "
			       "protocol is given.",
		.takes_socket = true,
		.options = {{"protocol", 0, "P", "tcp, udp, icmp or a number (default icmp)."},
			{"port", 0, "N", "The destination port."}},
		.examples = {"quicether route get 192.168.1.10"},
		.run = qe_command_route_get,
	},
	{
		.name = "ping",
		.operands = "PEER",
		.n_min = 1,
		.n_max = 1,
		.summary = "Measure the round trip to a peer.",
		.description = "PEER is a name, a NodeId or the beginning of one. The question "
			       "goes over the\n"
			       "control stream of the link, which is made first if there is none.",
		.takes_socket = true,
		.options = {{"count", 'c', "COUNT", "How many times (default 4)."},
			{"interval", 'i', "SECONDS", "The pause between two (default 1)."}},
		.examples = {"quicether ping gateway", "quicether ping -c 10 -i 0.2 oz2mrw"},
		.run = qe_command_ping,
	},
	{
		.name = "config show",
		.summary = "Show the effective configuration and where each value came from.",
		.takes_config = true,
		.examples = {"quicether config show", "quicether config show --listen :9000"},
		.run = qe_command_config_show,
	},
	{
		.name = "config validate",
		.summary = "Check the configuration.",
		.description = "Prints every error with file, line, column and key, those of its "
			       "policy file "
			       "too.",
		.takes_config = true,
		.examples = {"quicether config validate --config ./config.toml"},
		.run = qe_command_config_validate,
	},
	{
		.name = "policy check",
		.operands = "[FILE]",
		.n_max = 1,
		.summary = "Check a policy file.",
		.description =
			"FILE is a policy (default: security.policy_file). Prints every error with "
			"file, line,\n"
			"column and key, rules that no packet reaches, and tests that fail.",
		.takes_config = true,
		.examples = {"quicether policy check ./policy.toml"},
		.run = qe_command_policy_check,
	},
	{
		.name = "policy explain",
		.summary = "Show what a policy says to a packet, and why.",
		.description = "Reads the files, and asks no daemon. A schedule is looked at as of "
			       "now.",
		.takes_config = true,
		.options = {{"from", 0, "NODE", "The node that sends it: its name or NodeId."},
			{"to", 0, "ADDR", "Where it goes: an address, or node:NAME."},
			{"protocol", 0, "PROTOCOL", "tcp, udp, icmp or a number."},
			{"port", 0, "PORT", "The destination port, with tcp and udp."},
			{"policy", 0, "FILE", "The policy (default: security.policy_file)."}},
		.examples = {"quicether policy explain --from laptop --to node:nas --protocol tcp "
			     "--port 22"},
		.run = qe_command_policy_explain,
	},
	{
		.name = "policy reload",
		.summary = "Apply a changed policy file.",
		.description = "The node reads the file anew. A policy with errors, or one whose "
			       "tests fail, changes\n"
			       "nothing.",
		.takes_socket = true,
		.examples = {"quicether policy reload"},
		.run = qe_command_policy_reload,
	},
	{
		.name = "policy status",
		.summary = "Show the policy in effect, and what it has denied.",
		.takes_socket = true,
		.examples = {"quicether policy status"},
		.run = qe_command_policy_status,
	},
	{
		.name = "vpn up",
		.summary = "Send what this host sends through a gateway, and nothing beside it.",
		.description =
			"Looks at all that can be looked at before it changes anything, and "
			"waits until\n"
			"VPN mode is connected, 15 seconds at most. If it is not by then, it "
			"goes on\n"
			"trying, and nothing leaves.",
		.takes_socket = true,
		.options = {{"via", 0, "NODE",
			"The gateway: a peer's name or NodeId (default: vpn.via, else "
			"overlay.default_gateway)."}},
		.examples = {"quicether vpn up", "quicether vpn up --via gateway"},
		.run = qe_command_vpn_up,
	},
	{
		.name = "vpn down",
		.summary = "End VPN mode, and give the host its own network back.",
		.takes_socket = true,
		.examples = {"quicether vpn down"},
		.run = qe_command_vpn_down,
	},
	{
		.name = "vpn portal",
		.summary =
			"Let web pages and names past the tunnel for a while, to log in somewhere.",
		.description =
			"For a network with a captive portal, while VPN mode is not "
			"connected. HTTP, HTTPS\n"
			"and DNS of this host go beside the tunnel until it connects, or the "
			"time is over,\n"
			"also if the daemon ends.",
		.takes_socket = true,
		.options = {{"minutes", 'm', "N", "For how long: 1 to 15 (default 5)."}},
		.examples = {"quicether vpn portal", "quicether vpn portal --minutes 2"},
		.run = qe_command_vpn_portal,
	},
	{
		.name = "vpn status",
		.summary = "Show how VPN mode stands.",
		.takes_socket = true,
		.options = {{"watch", 'w', nullptr,
			"Go on, with a line for each change of the state."}},
		.examples = {"quicether vpn status", "quicether vpn status --watch"},
		.run = qe_command_vpn_status,
	},
	{
		.name = "vpn panic-off",
		.summary = "Open the kill switch and undo VPN mode, with a daemon or without.",
		.description = "For when nothing else works: a daemon that answers is asked to do "
			       "\"vpn down\"; what is\n"
			       "there after that is taken away by force.",
		.takes_socket = true,
		.examples = {"quicether vpn panic-off"},
		.run = qe_command_vpn_panic_off,
	},
	{
		.name = "bypass",
		.operands = "[--] COMMAND...",
		.takes_command = true,
		.summary = "Run a program beside the tunnel, whatever VPN mode is.",
		.description = "With what it starts, and with names from whom the host asked "
			       "before. Takes root.",
		.takes_socket = true,
		.options = {{"user", 'u', "USER", "Whom it runs as (default: root)."}},
		.examples = {"quicether bypass --user alice -- curl https://example.org/"},
		.run = qe_command_bypass,
	},
	{
		.name = "only",
		.operands = "[--] COMMAND...",
		.takes_command = true,
		.summary = "Run a program through the tunnel alone, whatever VPN mode is.",
		.description = "With what it starts, and with names from the gateway. Nothing of "
			       "it leaves by another\nway, also while the tunnel or the daemon is "
			       "gone. Takes root.",
		.takes_socket = true,
		.options = {{"user", 'u', "USER", "Whom it runs as (default: root)."}},
		.examples = {"quicether only --user alice -- firefox"},
		.run = qe_command_only,
	},
	{
		.name = "repair",
		.summary = "Give the host back where a daemon that is gone could not.",
		.description = "Undoes what its journal (" QE_JOURNAL_NAME ", beside the control "
			       "socket) says, and what is known\n"
			       "to be ours by name or number. What somebody else has changed since "
			       "stays, and is named.",
		.takes_socket = true,
		.examples = {"quicether repair"},
		.run = qe_command_repair,
	},
	{
		.name = "version",
		.summary = "Show the versions of this program and its libraries.",
		.examples = {"quicether version"},
		.run = qe_command_version,
	},
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

/* How many arguments the command's name takes, if they begin with it; otherwise 0. */
static size_t match(const struct qe_command *command, char *const *arguments)
{
	const char *space = strchr(command->name, ' ');
	size_t first = space ? (size_t)(space - command->name) : strlen(command->name);

	if (!arguments[0] || strlen(arguments[0]) != first ||
		strncmp(arguments[0], command->name, first) != 0)
		return 0;
	if (!space)
		return 1;
	return arguments[1] && strcmp(arguments[1], space + 1) == 0 ? 2 : 0;
}

static bool begins_with(const struct qe_command *command, const char *word)
{
	size_t len = strlen(word);

	return strncmp(command->name, word, len) == 0 && command->name[len] == ' ';
}

/* The first word of a command that has two: "config". */
static bool is_first_word(const char *word)
{
	bool found = false;

	for (size_t i = 0; i < N_COMMANDS; i++)
		found |= begins_with(&commands[i], word);
	return found;
}

static enum qe_exit fail_half(const char *word)
{
	const char *between = "quicether: expected ";

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!begins_with(&commands[i], word))
			continue;
		fprintf(stderr, "%s%s", between, commands[i].name);
		between = " or ";
	}
	fprintf(stderr, "\n");
	return QE_EXIT_USAGE;
}

static enum qe_exit fail_unknown(char *const *arguments)
{
	const char *words[N_COMMANDS];

	if (is_first_word(arguments[0]))
		return fail_half(arguments[0]);
	for (size_t i = 0; i < N_COMMANDS; i++)
		words[i] = commands[i].name;
	const char *nearest = qe_text_nearest(arguments[0], words, N_COMMANDS);
	fprintf(stderr, "quicether: there is no command %s%s%s%s\nTry: quicether --help\n",
		arguments[0], nearest ? "; did you mean " : "", nearest ? nearest : "",
		nearest ? "?" : "");
	return QE_EXIT_USAGE;
}

static enum qe_exit run(const struct qe_command *command, char *const *arguments)
{
	static struct qe_args args;
	char problem[512];
	struct qe_text text = qe_text_init(problem, sizeof problem);

	enum qe_error error = qe_args_parse(&args, command, arguments, &text);
	if (qe_args_get(&args, "help")) {
		qe_help_command(stdout, command);
		return QE_EXIT_OK;
	}
	if (error == QE_OK)
		return command->run(&args);
	qe_fail(&args, QE_EXIT_USAGE, "%s", problem);
	if (!qe_args_get(&args, "json"))
		fprintf(stderr, "Try: quicether %s --help\n", command->name);
	return QE_EXIT_USAGE;
}

static bool asks_for_help(const char *argument)
{
	return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0 ||
	       strcmp(argument, "help") == 0;
}

static enum qe_exit dispatch(char *const *arguments)
{
	if (!arguments[0]) {
		qe_help_overview(stderr, commands, N_COMMANDS);
		return QE_EXIT_USAGE;
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t n = match(&commands[i], arguments);
		if (n)
			return run(&commands[i], arguments + n);
	}
	/* "config --help" names no command, and asks for help all the same. */
	bool half = is_first_word(arguments[0]) && arguments[1];
	if (!asks_for_help(arguments[half ? 1 : 0]))
		return fail_unknown(arguments);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (match(&commands[i], arguments + 1)) {
			qe_help_command(stdout, &commands[i]);
			return QE_EXIT_OK;
		}
	qe_help_overview(stdout, commands, N_COMMANDS);
	return QE_EXIT_OK;
}

int main([[maybe_unused]] int argc, char **argv)
{
	enum qe_exit code;

	qe_process_fill_streams();
	code = dispatch(argv + (argv[0] ? 1 : 0));

	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "quicether: the output could not be written\n");
		return code ? code : QE_EXIT_ERROR;
	}
	return code;
}
