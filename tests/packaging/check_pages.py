"""What the pages show is there: code is cut from programs that are compiled here, and links lead somewhere.

    check_pages.py ROOT
"""

import pathlib
import re
import sys
import textwrap
import urllib.parse

CODE = {"cpp": "*.cc", "cmake": "CMakeLists.txt"}


def pages(root):
    return [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("results/*/*.md")]


def code_blocks(text):
    """(line, language, lines) of the blocks in languages that are compiled here."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if match[1] in CODE:
            yield text.count("\n", 0, match.start()) + 1, match[1], match[2].splitlines()


def is_cut_from(block, source):
    """Whether some lines of the source are the block, but for their common indentation."""
    count = len(block)
    return any(textwrap.dedent("\n".join(source[at:at + count])).splitlines() == block
               for at in range(len(source) - count + 1) if source[at].strip() == block[0].strip())


def wrong_code(root, page, text):
    for line, language, block in code_blocks(text):
        programs = sorted((root / "tests" / "consumer").glob(CODE[language]))
        if not any(is_cut_from(block, program.read_text().splitlines()) for program in programs):
            yield (f"{page}:{line}: the block that begins with '{block[0]}' is in no {CODE[language]} of tests/consumer; "
                   "cut it anew")


def wrong_links(root, page, text):
    keep_lines = lambda match: "\n" * match[0].count("\n")
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", keep_lines, text, flags=re.MULTILINE | re.DOTALL)
    for match in re.finditer(r"\]\(([^)#]+)(#[^)]*)?\)", text):
        if urllib.parse.urlsplit(match[1]).scheme:
            continue
        if not ((root / page).parent / match[1]).exists():
            yield f"{page}:{text.count(chr(10), 0, match.start()) + 1}: {match[1]} is not there"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    wrong = []
    for path in sorted(pages(root)):
        page, text = path.relative_to(root), path.read_text(encoding="utf-8")
        wrong += [*wrong_code(root, page, text), *wrong_links(root, page, text)]
    print("\n".join(wrong))
    sys.exit(bool(wrong))


main()
