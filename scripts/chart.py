# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A chart of a suite, drawn by gnuplot: a panel for each of a few measures, a bar for each subject."""
import subprocess

PANELS = {
    'throughput': (
        ('tcp1', 'TCP, 1 stream'),
        ('tcp4', 'TCP, 4 streams'),
        ('udp64', 'UDP, 64 bytes, loss under 1 %'),
        ('cpu_per_gb', 'processor time for 1 GB'),
        ('ping_idle', 'round trip, idle'),
        ('rss', 'resident memory'),
    ),
    'impaired': (
        ('20ms_1pct_bbr1', '20 ms, 1 % lost, TCP BBR'),
        ('20ms_reorder_cubic1', '20 ms, 1 % late, TCP CUBIC'),
        ('20ms_500mbit_cubic4', '500 Mbit/s, 4 streams of TCP CUBIC'),
        ('20ms_500mbit_cubic4_delay', 'what these add to a ping'),
    ),
}
COLUMNS, WIDTH, HEIGHT = 2, 450, 330
OURS, OTHER = '#1f6fb2', '#9aa5b1'

HEAD = '''
set terminal svg size {width},{height} background '#ffffff' font 'sans-serif,12'
set output '{path}'
set multiplot layout {lines},{columns}
set boxwidth 0.7
set style fill solid noborder
set xtics rotate by -40 left nomirror noenhanced scale 0
set ytics nomirror
set grid ytics linecolor '#dddddd'
set border 3 linecolor '#888888'
set yrange [0:*]
unset key
'''


def panel(rows, measure, title):
    """Bars as high as the median, with lines from the minimum to the maximum. What the cable carries would dwarf them."""
    bars = [row for row in rows if row['measure'] == measure and (row['suite'], row['subject']) != ('throughput', 'bare')]
    if not bars:
        return 'set multiplot next\n'
    data = ''.join(f'{at} {row["median"]} {row["min"]} {row["max"]} {int(row["subject"].startswith("quicether"))} '
                   f'{row["subject"]}\n' for at, row in enumerate(bars))
    return (f'$bars << END\n{data}END\n'
            f"set title '{title} ({bars[0]['unit']})' noenhanced\n"
            f"plot [-0.6:{len(bars) - 0.4}] $bars using 1:($5 == 1 ? $2 : NaN):xtic(6) with boxes linecolor '{OURS}', "
            f"$bars using 1:($5 == 0 ? $2 : NaN) with boxes linecolor '{OTHER}', "
            f"$bars using 1:2:3:4 with yerrorbars pointtype 0 linecolor '#333333'\n")


def draw(gnuplot, suite, rows, path):
    """gnuplot: how to call it."""
    lines = -(-len(PANELS[suite]) // COLUMNS)
    script = HEAD.format(width=COLUMNS * WIDTH, height=lines * HEIGHT, lines=lines, columns=COLUMNS, path=path)
    script += ''.join(panel(rows, measure, title) for measure, title in PANELS[suite])
    subprocess.run(gnuplot, input=script, text=True, check=True)
