"""Which search widths are tried, and which of them are timed again.

The recall of a width is a pass over all queries, which at the wide end takes
most of a run; so widths are not tried one by one.  What a search misses falls
with the width nearly as a power of it, which tells where a recall will be
reached.
"""
from math import inf, log

from compare_report import HIGH, TARGETS

# How far neighbours of a sweep may be apart in recall: across a target, near
# the targets, and as far down as the plot goes
ACROSS = {**dict.fromkeys(TARGETS, 0.002), HIGH: 0.0005}
NEAR_FROM, NEAR = TARGETS[0] - 0.02, 0.01
PLOT_FROM, PLOT = 0.8, 0.05
COARSE = 5                      # --quick: so many times as far

# By what the next width is wider, before a recall of HIGH is reached: at least,
# and at most before and after the last target
GROWTH = 1.25, 2, 3
LEAST_MISSES = 1e-5             # a recall of 1 has a logarithm, too


def width_for(target, low, high):
    """Where the target lies on the power law through two points, each a width
    and its recall; infinite if the wider one is not better."""
    near, wide, goal = (log(max(1 - recall, LEAST_MISSES)) for recall in
                        (low[1], high[1], target))
    if wide >= near:
        return inf
    share = (near - goal) / (near - wide)
    return low[0] * (high[0] / low[0]) ** min(share, 100)


def next_width(tried, most):
    """How the sweep goes on, beyond what was tried."""
    width, recall = tried[-1]
    wanted = width_for(HIGH, *tried[-2:]) if len(tried) > 1 else inf
    if wanted >= most and width >= most / 8:
        return most             # it will hardly be reached at all
    most_growth = GROWTH[2 if recall >= TARGETS[-1] else 1]
    wider = min(max(wanted, GROWTH[0] * width), most_growth * width)
    return min(max(int(wider), width + 1), most)


def missing_width(low, high, coarse):
    """A width between two neighbours that are too far apart, or None."""
    if high[0] - low[0] < 2:
        return None
    less, more = sorted((low[1], high[1]))
    middle = None
    for target, step in ACROSS.items():
        step *= coarse
        if less < target <= more and more - less > step:
            aim = target        # but not again, if one of them is there
            if more - target < step / 2:
                aim = more - 0.8 * step
            elif target - less < step / 2:
                aim = less + 0.8 * step
            middle = width_for(aim, low, high)
            break
    else:
        if (more > NEAR_FROM and more - less > min(coarse, 3) * NEAR
                or more > PLOT_FROM and more - less > min(coarse, 3) * PLOT):
            middle = (low[0] + high[0]) / 2
    if middle is None:
        return None
    margin = max(1, (high[0] - low[0]) // 8)
    return round(min(max(middle, low[0] + margin), high[0] - margin))


def choose_widths(recall_at, least, most, coarse):
    """The widths of a sweep, in order.

    First wider and wider until the recall is high.  Then between neighbours
    that are too far apart.
    """
    tried = [(least, recall_at(least))]
    while tried[-1][1] < HIGH and tried[-1][0] < most:
        width = next_width(tried, most)
        tried.append((width, recall_at(width)))
    at = 0
    while at + 1 < len(tried):
        width = missing_width(*tried[at:at + 2], coarse)
        if width is None:
            at += 1
        else:
            tried.insert(at + 1, (width, recall_at(width)))
    return [width for width, _ in tried]


def mark_those_that_matter(points):
    """Those on which the answers depend: the default, the shortest, and about
    each recall the last that misses it, the first two that reach it, and,
    once they have been timed, the fastest that does."""
    some = [min(points, key=lambda p: p["width"] or inf)]
    some += [p for p in points if p.get("default")]
    in_order = sorted(points, key=lambda p: (p["recall"], p["width"]))
    for target in (*TARGETS, HIGH):
        reached = [p for p in in_order if p["recall"] >= target]
        if reached:
            some += [p for p in in_order if p["recall"] < target][-1:]
            some += reached[:2]
            if points[0]["rounds"]:
                some.append(max(reached, key=lambda p: p["qps"]))
    for point in points:
        point["matters"] = point["matters"] or any(point is p for p in some)
