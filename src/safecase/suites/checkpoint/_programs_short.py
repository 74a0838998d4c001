"""Software tasks of minutes: from one line to a small parser. Reference solutions are whole in themselves."""

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from math import gcd
from random import Random

from safecase.suites.checkpoint._program import Json, Program

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty")


def every_other(numbers: Sequence[int]) -> int:
    return sum(numbers[::2])


def initials(name: str) -> str:
    return "".join(part[0].upper() + "." for part in name.split())


def clock_add(clock: str, minutes: int) -> str:
    hours, mins = map(int, clock.split(":"))
    total = (hours * 60 + mins + minutes) % 1440
    return f"{total // 60:02d}:{total % 60:02d}"


def commonest(text: str) -> str:
    counts = Counter(text.lower().split())
    return min(counts, key=lambda word: (-counts[word], word)) if counts else ""


def run_lengths(text: str) -> list[Json]:
    runs: list[Json] = []
    for char in text:
        if runs and runs[-1][0] == char:
            runs[-1][1] += 1
        else:
            runs.append([char, 1])
    return runs


def to_roman(number: int) -> str:
    signs = "M CM D CD C XC L XL X IX V IV I".split()
    worth = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
    said = ""
    for sign, value in zip(signs, worth, strict=True):
        said += sign * (number // value)
        number %= value
    return said


def first_unbalanced(text: str) -> int:
    pairs = {")": "(", "]": "[", "}": "{"}
    open_ones: list[tuple[str, int]] = []
    for place, char in enumerate(text):
        if char in "([{":
            open_ones.append((char, place))
        elif char in pairs and (not open_ones or open_ones.pop()[0] != pairs[char]):
            return place
    return open_ones[0][1] if open_ones else -1


def add_fractions(fractions: Sequence[Sequence[int]]) -> list[int]:
    top, bottom = 0, 1
    for one, other in fractions:
        top, bottom = top * other + one * bottom, bottom * other
    shared = gcd(top, bottom) * (-1 if bottom < 0 else 1)
    return [top // shared, bottom // shared]


def merge_spans(spans: Sequence[Sequence[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for start, end in sorted(map(tuple, spans)):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def seconds_in(text: str) -> int:
    worth, order, total, digits, last = {"d": 86400, "h": 3600, "m": 60, "s": 1}, "dhms", 0, "", -1
    for char in text.replace(" ", ""):
        if char.isdigit():
            digits += char
        elif char in worth and digits and order.index(char) > last:
            total, digits, last = total + int(digits) * worth[char], "", order.index(char)
        else:
            return -1
    return -1 if digits or last < 0 else total


def spiral(grid: Sequence[Sequence[int]]) -> list[int]:
    rows, out = [list(row) for row in grid], []
    while rows:
        out += rows.pop(0)
        rows = [list(row) for row in zip(*rows, strict=True)][::-1]
    return out


def justify(text: str, width: int) -> list[str]:
    lines: list[list[str]] = [[]]
    for word in text.split():
        if lines[-1] and sum(map(len, lines[-1])) + len(lines[-1]) + len(word) > width:
            lines.append([])
        lines[-1].append(word)
    out = []
    for line in lines[:-1]:
        gaps, spare = max(1, len(line) - 1), width - sum(map(len, line))
        pads = [" " * (spare // gaps + (place < spare % gaps)) for place in range(len(line) - 1)]
        out.append("".join(word + pad for word, pad in zip(line, [*pads, ""], strict=True)))
    return [*out, " ".join(lines[-1])] if text.split() else []


def cache_misses(size: int, keys: Sequence[str]) -> list[str]:
    held: OrderedDict[str, None] = OrderedDict()
    misses = []
    for key in keys:
        if key not in held:
            misses.append(key)
            if len(held) >= size:
                held.popitem(last=False)
        held[key] = None
        held.move_to_end(key)
    return misses


def typing_distance(one: str, other: str) -> int:
    rows = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            ways = [] if i or j else [0]
            if i:
                ways.append(rows[i - 1][j] + 1)
            if j:
                ways.append(rows[i][j - 1] + 1)
            if i and j:
                ways.append(rows[i - 1][j - 1] + (one[i - 1] != other[j - 1]))
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                ways.append(rows[i - 2][j - 2] + 1)
            rows[i][j] = min(ways)
    return rows[-1][-1]


def build_order(needs: dict[str, list[str]]) -> list[str] | None:
    waiting = {name: set(before) for name, before in needs.items()}
    for before in needs.values():
        for name in before:
            waiting.setdefault(name, set())
    order: list[str] = []
    while waiting:
        ready = sorted(name for name, before in waiting.items() if before <= set(order))
        if not ready:
            return None
        order.append(ready[0])
        del waiting[ready[0]]
    return order


def split_record(line: str) -> list[str] | None:
    fields, text, quoted, place, was_quoted = [], "", False, 0, False
    while place < len(line):
        char = line[place]
        if quoted:
            if line[place : place + 2] == "''":
                text, place = text + "'", place + 1
            elif char == "'":
                quoted = False
            else:
                text += char
        elif char == ";":
            fields.append(text if was_quoted else text.strip())
            text, was_quoted = "", False
        elif char == "'" and not text.strip() and not was_quoted:
            text, quoted, was_quoted = "", True, True
        elif was_quoted:
            if char != " ":
                return None
        else:
            text += char
        place += 1
    return None if quoted else [*fields, text if was_quoted else text.strip()]


def calculate(text: str) -> int | None:
    tokens = text.replace("(", " ( ").replace(")", " ) ")
    for sign in "+-*%^":
        tokens = tokens.replace(sign, f" {sign} ")
    left = tokens.split()

    def atom() -> int:
        lexeme = left.pop(0)
        if lexeme == "-":
            return -power()
        if lexeme == "(":
            value = total()
            if left.pop(0) != ")":
                raise ValueError(lexeme)
            return value
        return int(lexeme)

    def power() -> int:
        base = atom()
        if left and left[0] == "^":
            left.pop(0)
            exponent = power()
            if exponent < 0:
                raise ValueError(exponent)
            return int(base**exponent)
        return base

    def product() -> int:
        value = power()
        while left and left[0] in {"*", "%"}:
            value = value * power() if left.pop(0) == "*" else value % power()
        return value

    def total() -> int:
        value = product()
        while left and left[0] in {"+", "-"}:
            value = value + product() if left.pop(0) == "+" else value - product()
        return value

    try:
        value = total()
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return None if left else value


def shortest_way(grid: Sequence[str], walls: int) -> int:
    height, width = len(grid), len(grid[0])
    seen, queue = {(0, 0, walls)}, deque([(0, 0, walls, 0)])
    while queue:
        row, column, left, steps = queue.popleft()
        if (row, column) == (height - 1, width - 1):
            return steps
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            r, c = row + down, column + right
            if 0 <= r < height and 0 <= c < width:
                rest = left - (grid[r][c] == "#")
                if rest >= 0 and (r, c, rest) not in seen:
                    seen.add((r, c, rest))
                    queue.append((r, c, rest, steps + 1))
    return -1


def path_matches(pattern: str, path: str) -> bool:
    def one(wanted: str, name: str) -> bool:
        if not wanted:
            return not name
        if wanted[0] == "*":
            return one(wanted[1:], name) or (bool(name) and one(wanted, name[1:]))
        if wanted[0] == "{" and "}" in wanted:
            choices, rest = wanted[1:].split("}", 1)
            return any(one(choice + rest, name) for choice in choices.split(","))
        return bool(name) and wanted[0] in {"?", name[0]} and one(wanted[1:], name[1:])

    def many(wanted: list[str], names: list[str]) -> bool:
        if not wanted:
            return not names
        if wanted[0] == "**":
            return many(wanted[1:], names) or (bool(names) and many(wanted, names[1:]))
        return bool(names) and one(wanted[0], names[0]) and many(wanted[1:], names[1:])

    return many(pattern.split("/"), path.split("/"))


def fill_template(template: str, values: dict[str, Json]) -> str | None:
    parts: list[str] = []
    while "[[" in template:
        text, _, rest = template.partition("[[")
        tag, closed, template = rest.partition("]]")
        if not closed:
            return None
        parts += [text, "[[" + tag.strip()]
    parts.append(template)

    def run(place: int, scope: dict[str, Json], ends: bool) -> tuple[str, int]:
        out = ""
        while place < len(parts):
            part = parts[place]
            place += 1
            if not part.startswith("[["):
                out += part
                continue
            word = part[2:]
            if word == "end":
                if not ends:
                    raise KeyError(word)
                return out, place
            if word.startswith("each "):
                body, after = "", place
                for item in scope[word[5:]]:
                    text, after = run(place, {**scope, "it": item}, True)
                    body += text
                if not scope[word[5:]]:
                    _, after = run(place, {**scope, "it": ""}, True)
                out, place = out + body, after
            elif word.startswith("if "):
                text, place = run(place, scope, True)
                out += text if scope.get(word[3:]) else ""
            else:
                out += str(scope[word])
        if ends:
            raise KeyError("end")
        return out, place

    try:
        return run(0, values, False)[0]
    except KeyError:
        return None


def edit_script(old: Sequence[str], new: Sequence[str]) -> list[str]:
    shared = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            same = old[i] == new[j]
            shared[i][j] = shared[i + 1][j + 1] + 1 if same else max(shared[i + 1][j], shared[i][j + 1])
    i = j = 0
    script = []
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            script.append(f"={old[i]}")
            i, j = i + 1, j + 1
        elif i < len(old) and (j == len(new) or shared[i + 1][j] >= shared[i][j + 1]):
            script.append(f"-{old[i]}")
            i += 1
        else:
            script.append(f"+{new[j]}")
            j += 1
    return script


def run_stack(program: str) -> list[int] | None:
    words = program.split()
    defined: dict[str, list[str]] = {}
    stack: list[int] = []

    def pop() -> int:
        return stack.pop()

    def run(code: list[str], depth: int) -> None:
        place = 0
        if depth > 50:
            raise IndexError(depth)
        while place < len(code):
            word = code[place]
            place += 1
            if word == ":":
                end = code.index(";", place)
                defined[code[place]] = code[place + 1 : end]
                place = end + 1
            elif word == "if":
                nested, end = 1, place
                while nested:
                    nested += {"if": 1, "then": -1}.get(code[end], 0)
                    end += 1
                if pop():
                    run(code[place : end - 1], depth + 1)
                place = end
            elif word in defined:
                run(defined[word], depth + 1)
            elif word == "dup":
                stack.append(stack[-1])
            elif word == "drop":
                pop()
            elif word == "swap":
                stack[-1], stack[-2] = stack[-2], stack[-1]
            elif word in {"+", "-", "*", "<"}:
                b, a = pop(), pop()
                stack.append({"+": a + b, "-": a - b, "*": a * b, "<": int(a < b)}[word])
            else:
                stack.append(int(word))

    try:
        run(words, 0)
    except (IndexError, ValueError):
        return None
    return stack


# Draws


def _numbers(rng: Random) -> tuple[Json, ...]:
    return ([rng.randint(-50, 50) for _ in range(rng.randint(0, 9))],)


def _text(rng: Random, letters: str, most: int) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, most)))


def _words(rng: Random, most: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, most)))


def _spans(rng: Random) -> tuple[Json, ...]:
    starts = [rng.randint(0, 40) for _ in range(rng.randint(0, 9))]
    return ([[start, start + rng.randint(0, 8)] for start in starts],)


def _duration(rng: Random) -> tuple[Json, ...]:
    units = [unit for unit in "dhms" if rng.random() < 0.6]
    if rng.random() < 0.25:
        rng.shuffle(units)
    return (rng.choice(["", " "]).join(f"{rng.randint(0, 90)}{unit}" for unit in units),)


def _grid(rng: Random) -> tuple[Json, ...]:
    height, width = rng.randint(1, 5), rng.randint(1, 5)
    return ([[rng.randint(0, 99) for _ in range(width)] for _ in range(height)],)


def _needs(rng: Random) -> tuple[Json, ...]:
    names = rng.sample(_WORDS, 6)
    return (
        {
            name: rng.sample(names[:place] if rng.random() < 0.9 else names, min(place, 2))
            for place, name in enumerate(names)
        },
    )


def _record(rng: Random) -> tuple[Json, ...]:
    pieces = ["'a;b'", "'it''s'", " plain ", "''", "two words", "o'clock", "'open", "'x' y", ""]
    return (";".join(rng.choice(pieces) for _ in range(rng.randint(1, 4))),)


def _sum(rng: Random) -> tuple[Json, ...]:
    text = str(rng.randint(0, 9))
    for _ in range(rng.randint(1, 6)):
        sign, number = rng.choice("+-*%^"), rng.randint(0, 4)
        text = f"({text})" if rng.random() < 0.3 else text
        text += f" {sign} {'-' if rng.random() < 0.2 and sign != '^' else ''}{number}"
    return (text,)


def _maze(rng: Random) -> tuple[Json, ...]:
    height, width = rng.randint(2, 7), rng.randint(2, 7)
    rows = ["".join("#" if rng.random() < 0.4 else "." for _ in range(width)) for _ in range(height)]
    return ([rows[0].replace("#", ".", 1) if rows[0][0] == "#" else rows[0], *rows[1:]], rng.randint(0, 2))


def _path(rng: Random) -> tuple[Json, ...]:
    patterns = ["a/**/c", "*.{txt,md}", "src/?*/main", "**", "a/*/c", "**/b*", "{a,b}/**", "a?c*", "*a*b*"]
    names = ["a", "b", "c", "abc", "src", "main", "x.txt", "y.md", "ab"]
    return (rng.choice(patterns), "/".join(rng.choice(names) for _ in range(rng.randint(1, 4))))


def _template(rng: Random) -> tuple[Json, ...]:
    pieces = ["Dear [[name]], ", "[[each goods]]<[[it]]>[[end]]", "[[if open]]yes [[name]][[end]]", "[[ size ]]"]
    pieces += ["[[each goods]][[if open]][[it]][[end]]-[[end]]", "[[each none]]never[[end]]", "[[end]]", "[[lost"]
    chosen = [rng.choice(pieces[:6] if rng.random() < 0.85 else pieces) for _ in range(rng.randint(1, 4))]
    values = {"name": rng.choice(_WORDS), "goods": rng.sample(_WORDS, 2), "open": rng.random() < 0.5, "none": []}
    return ("".join(chosen), values if rng.random() < 0.3 else {**values, "size": rng.randint(1, 9)})


def _lines(rng: Random) -> tuple[Json, ...]:
    old = [rng.choice("abcd") for _ in range(rng.randint(0, 7))]
    new = [line for line in old if rng.random() < 0.7] + [rng.choice("abcd") for _ in range(rng.randint(0, 3))]
    return (old, new)


def _stack(rng: Random) -> tuple[Json, ...]:
    pieces = ["3 4", "dup *", "swap -", "2 < if 7 then", ": sq dup * ; 5 sq", "1 if 2 1 if 3 then then", "drop", "+"]
    return ("1 2 " + " ".join(rng.choice(pieces) for _ in range(rng.randint(1, 5))),)


SHORT: tuple[Program, ...] = (
    Program(
        solve=every_other,
        minutes=2,
        told="Given a list of whole numbers, add up the first, third, fifth and so on.",
        examples=((([5, 1, 2],), 7), (([],), 0)),
        draw=_numbers,
    ),
    Program(
        solve=initials,
        minutes=2,
        told=(
            "Give the initials of a name: of each word its first letter as a capital and a full stop, nothing between."
        ),
        examples=((("ada maria lind",), "A.M.L."), (("",), "")),
        draw=lambda rng: (_words(rng, 4),),
        edges=(("  two   gaps ",),),
    ),
    Program(
        solve=clock_add,
        minutes=3,
        told="Add minutes, which may be negative, to a 24-hour clock time 'HH:MM'; days wrap round.",
        examples=((("23:50", 20), "00:10"), (("00:00", -1), "23:59")),
        draw=lambda rng: (f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}", rng.randint(-4000, 4000)),
    ),
    Program(
        solve=commonest,
        minutes=5,
        told=(
            "Give the commonest word of a text, in small letters; words are split at spaces. Of several, the "
            "first in the alphabet. '' for a text without words."
        ),
        examples=((("b a A b c",), "a"), ((" ",), "")),
        draw=lambda rng: (_words(rng, 9),),
    ),
    Program(
        solve=run_lengths,
        minutes=5,
        told="Give the runs of equal characters of a text, in order, as [character, length] pairs.",
        examples=((("aabaaa",), [["a", 2], ["b", 1], ["a", 3]]), (("",), [])),
        draw=lambda rng: (_text(rng, "ab", 12),),
    ),
    Program(
        solve=to_roman,
        minutes=6,
        told=(
            "Write a whole number from 1 to 3999 as a Roman numeral, with the usual subtractions (IV, IX, XL, XC,"
            " CD, CM)."
        ),
        examples=(((14,), "XIV"), ((2026,), "MMXXVI")),
        draw=lambda rng: (rng.randint(1, 3999),),
        edges=((944,), (1999,), (3488,)),
    ),
    Program(
        solve=first_unbalanced,
        minutes=8,
        told=(
            "Round, square and curly brackets must close in the right order; other characters do not matter. Give"
            " the position, from 0, of the first closing bracket that fits none; if there is none, of the first "
            "bracket left open; if all fit, -1."
        ),
        examples=((("a(b]c",), 3), (("{[x]}",), -1), (("((a)",), 0)),
        draw=lambda rng: (_text(rng, "([{}])x", 9),),
        edges=(("([])",), ("(([",), (")",)),
    ),
    Program(
        solve=add_fractions,
        minutes=8,
        told=(
            "Add fractions given as [top, bottom] pairs; a bottom is never 0 and may be negative. Give [top, "
            "bottom] in lowest terms with a bottom over 0. No fractions add to [0, 1]."
        ),
        examples=((([[1, 2], [1, 3]],), [5, 6]), (([[1, -2]],), [-1, 2])),
        draw=lambda rng: ([[rng.randint(-9, 9), rng.choice((-6, -4, 2, 3, 4, 8))] for _ in range(rng.randint(0, 4))],),
    ),
    Program(
        solve=merge_spans,
        minutes=10,
        told="Merge spans [start, end] that overlap or touch at a point, and give the rest, by start.",
        examples=((([[5, 7], [1, 3], [3, 4]],), [[1, 4], [5, 7]]),),
        draw=_spans,
        edges=(([[1, 9], [2, 3], [4, 5]],),),
    ),
    Program(
        solve=seconds_in,
        minutes=10,
        told=(
            "Read a duration like '1h 30m' or '2d5s' in seconds: whole numbers, each followed by d, h, m or s, in this "
            "order of units, each unit at most once, at least one. Spaces do not matter. Anything else gives -1."
        ),
        examples=((("1h 30m",), 5400), (("5s 1m",), -1), (("12",), -1)),
        draw=_duration,
        edges=(("1m1m",), ("h",), ("",), ("3x",)),
    ),
    Program(
        solve=spiral,
        minutes=12,
        told="Read a rectangular grid of numbers clockwise from its top left corner in a spiral to its middle.",
        examples=((([[1, 2, 3], [4, 5, 6]],), [1, 2, 3, 6, 5, 4]),),
        draw=_grid,
    ),
    Program(
        solve=justify,
        minutes=18,
        told=(
            "Break a text into lines of a width, as many words on each as fit with one space between. All lines "
            "but the last are spread to the full width: spaces as even as can be, the first gaps one wider; a "
            "line of one word stays as it is, filled with nothing. The last line has single spaces. No word is "
            "longer than the width."
        ),
        examples=((("a bb c dd", 6), ["a bb c", "dd"]), (("aa b cc", 5), ["aa  b", "cc"])),
        draw=lambda rng: (_words(rng, 12), rng.randint(6, 20)),
        edges=(("", 5), ("amber amber amber", 8)),
    ),
    Program(
        solve=cache_misses,
        minutes=20,
        told=(
            "A cache holds `size` keys, at least 1, and drops the one used longest ago when a new one comes. Give"
            " the keys of a sequence that were not held when they were asked for, in order."
        ),
        examples=(((2, ["a", "b", "a", "c", "b"]), ["a", "b", "c", "b"]),),
        draw=lambda rng: (rng.randint(1, 4), [rng.choice("abcdef") for _ in range(20)]),
    ),
    Program(
        solve=typing_distance,
        minutes=25,
        told=(
            "The least number of edits that turn one word into another: insert, delete or replace a letter, or "
            "swap two neighbours. What was swapped is not edited again."
        ),
        examples=((("abcd", "acbd"), 1), (("ca", "abc"), 3)),
        draw=lambda rng: (_text(rng, "abc", 7), _text(rng, "abc", 7)),
        edges=(("ab", "ba"), ("abcabc", "bacacb"), ("", "ab"), ("aab", "aba")),
    ),
    Program(
        solve=build_order,
        minutes=25,
        told=(
            "Given what each part needs, {part: [parts before it]}, give an order in which everything can be "
            "built, also parts that are only needed. Always build next, of those that are ready, the first in the"
            " alphabet. None where there is no order."
        ),
        examples=((({"b": ["a"], "c": []},), ["a", "b", "c"]), (({"a": ["b"], "b": ["a"]},), None)),
        draw=_needs,
        edges=(({"z": ["y"], "a": ["z"]},), ({"a": ["a"]},)),
    ),
    Program(
        solve=split_record,
        minutes=35,
        told=(
            "Split a record at semicolons. A field is plain, and stripped of spaces at both ends; or it starts with a "
            "single quote (spaces may come before), goes to the next single quote, and may hold semicolons and, as two "
            "quotes, a quote; its text is kept as it is and only spaces may follow. Quotes inside a plain field are "
            "ordinary. None for a quote that never closes or text after a closing quote."
        ),
        examples=((("a; 'b;c' ;d",), ["a", "b;c", "d"]), (("'it''s'",), ["it's"]), (("'x' y",), None)),
        draw=_record,
        edges=((" a b ;c ",), ("'a;b' ; '' ",), ("a'b;'it''s'",), ("'x'y",), ("'",), ("",)),
    ),
    Program(
        solve=calculate,
        minutes=40,
        told=(
            "Work out a sum of whole numbers with + - * % ^ and round brackets. ^ binds tightest and to the "
            "right, then a minus sign before a value (so -2^2 is -4), then * and %, then + and -, both to the "
            "left. % is Python's. None for anything that is no such sum, for a negative exponent, and for % 0."
        ),
        examples=((("2 + 3 * 4",), 14), (("2^3^2",), 512), (("-2^2",), -4), (("(1",), None)),
        draw=_sum,
        edges=(("3 - -2^2",), ("(-3)^2 - -3^2",), ("--2",), ("7 % 0",), ("2 3",), ("2^-1",), ("10 - 3 - 4",)),
    ),
    Program(
        solve=shortest_way,
        minutes=45,
        told=(
            "A grid has free cells '.' and walls '#'. Give the least number of steps, up, down, left or right, "
            "from the top left (free) to the bottom right, when you may go through at most `walls` walls; -1 "
            "where there is none."
        ),
        examples=(((["..", "#."], 0), 2), (([".#", "#."], 0), -1), (([".#", "##"], 2), 2)),
        draw=_maze,
    ),
    Program(
        solve=path_matches,
        minutes=50,
        told=(
            "Does a path match a pattern? Both are parts between '/'. In a part, '*' stands for any characters, "
            "also none; '?' for one; '{a,b}' for one of the choices, which hold no brackets but may hold '*' and "
            "'?'. A part '**' stands for any number of whole parts, also none."
        ),
        examples=((("a/**/c", "a/c"), True), (("*.{txt,md}", "x.md"), True), (("*", "a/b"), False)),
        draw=_path,
        edges=(("**/c", "a/b/c"), ("a/**", "a"), ("?", "ab"), ("{a,b*}c", "bxc")),
        drawn=30,
    ),
    Program(
        solve=fill_template,
        minutes=75,
        told=(
            "Fill a template. [[name]] becomes the value of that name as text. [[each name]]...[[end]] repeats "
            "its inside for every item of the list of that name, with 'it' as the item. [[if name]]...[[end]] "
            "keeps its inside where the value is there and true. They nest. Spaces just inside the brackets do "
            "not matter. None where a tag is not closed, an [[end]] is missing or too many, or a plain name or "
            "list is unknown in what is read; the inside of an [[if]] is read also where it is not kept, and of "
            "an empty list once with 'it' as ''."
        ),
        examples=(
            (("Hi [[ name ]]!", {"name": "Bo"}), "Hi Bo!"),
            (("[[each xs]]<[[it]]>[[end]]", {"xs": [1, 2]}), "<1><2>"),
            (("[[if no]]x[[end]]", {}), ""),
            (("[[end]]", {}), None),
        ),
        draw=_template,
        edges=(("[[if a]]x", {"a": 1}), ("[[each xs]][[nope]][[end]]", {"xs": []})),
        drawn=24,
    ),
    Program(
        solve=edit_script,
        minutes=75,
        told=(
            "Turn one list of lines into another with the fewest deletions and insertions: give the script, "
            "'=line' for one kept, '-line' for one deleted, '+line' for one inserted, in order. Where the next "
            "lines are equal, keep. Else, where both ways are as short in all, delete before you insert."
        ),
        examples=(((["a", "b"], ["b", "c"]), ["-a", "=b", "+c"]),),
        draw=_lines,
        drawn=24,
    ),
    Program(
        solve=run_stack,
        minutes=90,
        told=(
            "Run a program of words on a stack of whole numbers and give the stack, bottom first. A number is "
            "pushed. dup drop swap do as they say; + - * < take two (the upper one is the right-hand one; < "
            "pushes 1 or 0). 'if ... then' takes one number and runs its inside unless that is 0; it nests. ': "
            "name ... ;' defines a word, which may not nest, from there on. None for an unknown word, an empty "
            "stack, an unclosed 'if' or ':', or more than 50 words or ifs deep."
        ),
        examples=((("2 dup * 1 -",), [3]), ((": sq dup * ; 5 sq",), [25]), (("+",), None)),
        draw=_stack,
        edges=((": f f ; f",), ("1 if 2",), ("0 if 9 then 4",), (": a 1",)),
        drawn=24,
    ),
)
