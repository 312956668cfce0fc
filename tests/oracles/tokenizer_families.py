"""Small tokenizers with everything that the files of real models have but the size: trained here, configured as theirs."""

import json
import random

import support

tokenizers = support.require("tokenizers")

GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3_WORDS = CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN_WORDS = LLAMA3_WORDS.replace("{1,3}", "")
QWEN_MARK_WORDS = CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
                                  r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K_WORDS = CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                               r"|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K_WORDS = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
               r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_SPLITS = ["[\r\n]", "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u0370-\u0373\u0400-\u0481]+",
                   "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$",
                   "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]
SIGN = "\u2581"


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def byte_level(use_regex=False, add_prefix_space=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def token(content, special=True, **keys):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": not special, "special": special, **keys}


def template(bos):
    return {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [0], "tokens": [bos]}}}


CHATML = [token("<|endoftext|>"), token("<|im_start|>"), token("<|im_end|>")]
LLAMA3_TOKENS = [token(name) for name in ("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                                          "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")]
LLAMA_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": SIGN}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
LLAMA_NORMALIZER = {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": SIGN}, {"type": "Replace", "pattern": {"String": " "}, "content": SIGN}]}


def metaspace(scheme, divides=False):
    return {"type": "Metaspace", "replacement": SIGN, "prepend_scheme": scheme, "split": divides}


# What each family's file says. "pieces": characters with U+2581 and bytes to fall back to, as SentencePiece has them.
FAMILIES = {
    "gpt2": {"pre": byte_level(True), "tokens": [token("<|endoftext|>")]},
    "roberta_style": {"pre": byte_level(True, add_prefix_space=True), "tokens": [token("<mask>", lstrip=True), token("</s>")]},
    "gpt_neox": {"normalizer": {"type": "NFC"}, "pre": byte_level(True),
                 "tokens": [token("<|endoftext|>"), *(token(" " * n, special=False) for n in range(24, 1, -1))]},
    "llama_3": {"pre": sequence(split(LLAMA3_WORDS), byte_level()), "tokens": LLAMA3_TOKENS, "model": {"ignore_merges": True},
                "post": template("<|begin_of_text|>")},
    "qwen_2": {"normalizer": {"type": "NFC"}, "pre": sequence(split(QWEN_WORDS), byte_level()),
               "tokens": [*CHATML, token("<tool_call>", False, normalized=False), token("<think>", False, normalized=False)]},
    "qwen_marks": {"normalizer": {"type": "NFC"}, "pre": sequence(split(QWEN_MARK_WORDS), byte_level()), "tokens": CHATML},
    "olmo_2": {"pre": sequence(split(LLAMA3_WORDS, "Removed", True), byte_level()),
               "tokens": [token("<|endoftext|>"), token("|||IP_ADDRESS|||", False, normalized=False), token("<|pad|>")]},
    "cl100k": {"pre": sequence(split(CL100K_WORDS), byte_level()), "tokens": CHATML},
    "o200k": {"pre": sequence(split(O200K_WORDS), byte_level()), "tokens": CHATML},
    "smollm": {"pre": sequence({"type": "Digits", "individual_digits": True}, byte_level(True)), "tokens": CHATML},
    "deepseek": {"normalizer": {"type": "Sequence", "normalizers": []},
                 "pre": sequence(*map(split, DEEPSEEK_SPLITS), {"type": "Digits", "individual_digits": True}, byte_level()),
                 "tokens": [token("<\uff5cbegin\u2581of\u2581sentence\uff5c>", normalized=True)],
                 "post": template("<\uff5cbegin\u2581of\u2581sentence\uff5c>")},
    "llama_2": {"pieces": True, "normalizer": LLAMA_NORMALIZER, "pre": None, "decoder": LLAMA_DECODER, "post": template("<s>"),
                "tokens": [token("<unk>"), token("<s>"), token("</s>"), token("[INST]", False)]},
    "mistral": {"pieces": True, "pre": metaspace("first"), "decoder": LLAMA_DECODER, "post": template("<s>"),
                "tokens": [token("<unk>"), token("<s>"), token("</s>"), token("[INST]")]},
    "metaspace_words": {"pieces": True, "pre": metaspace("always", True), "decoder": metaspace("always"),
                        "tokens": [token("<unk>"), token("<s>"), token("</s>")]},
    "no_fallback": {"pieces": True, "pre": metaspace("never", True), "decoder": metaspace("never"),
                    "model": {"byte_fallback": False}, "tokens": [token("<unk>"), token("<s>"), token("</s>")]},
    "lower_case": {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " "}]},
        "pre": sequence({"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": False}, byte_level()),
        "tokens": [token("Name", False, single_word=True), token("<sep>", rstrip=True)]},
    "decomposed": {"normalizer": {"type": "NFD"}, "pre": sequence({"type": "Whitespace"}, byte_level()), "tokens": CHATML},
    "compatible": {"normalizer": {"type": "NFKD"}, "pre": sequence(split(r"\p{Han}|[^\S\r\n]+", "MergedWithPrevious"), byte_level()),
                   "tokens": CHATML},
    "odd_splits": {"pre": sequence(split(r"\d", "Contiguous"), split(r"[\p{P}&-&]", "MergedWithNext"), split(r"\w+", "Isolated"), byte_level()),
                   "tokens": CHATML},
}


def make(name, lines, vocab_size=1500):
    """The text of a tokenizer.json, trained on lines."""
    family = FAMILIES[name]
    pieces = family.get("pieces", False)
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    pre = metaspace("always", True) if pieces else family["pre"]
    trained.pre_tokenizer = _pre_tokenizer(pre)
    alphabet = [] if pieces else tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(lines, tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, limit_alphabet=400, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocab = list(model["vocab"])
    first = []
    if pieces:
        first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        model.update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    model["vocab"] = {piece: i for i, piece in enumerate(first + [piece for piece in vocab if piece not in first])}
    model.update(family.get("model", {}))
    added, following = [], len(model["vocab"])
    for entry in family["tokens"]:
        known = model["vocab"].get(entry["content"])
        added.append({"id": following if known is None else known, **entry})
        following += known is None
    post = family.get("post")
    if post is not None:
        bos = next(iter(post["special_tokens"]))
        post = json.loads(json.dumps(post))
        post["special_tokens"][bos]["ids"] = [next(entry["id"] for entry in added if entry["content"] == bos)]
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
                       "normalizer": family.get("normalizer"), "pre_tokenizer": family["pre"], "post_processor": post,
                       "decoder": family.get("decoder", byte_level(True)), "model": model}, ensure_ascii=False)


def _pre_tokenizer(config):
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": config,
             "post_processor": None, "decoder": None, "model": {"type": "BPE", "vocab": {}, "merges": []}}
    return tokenizers.Tokenizer.from_str(json.dumps(whole)).pre_tokenizer


SENTENCES = [
    "The quick brown fox doesn't jump; WE'LL see, I'M sure they'Ve 12345 reasons (or 3.14).",
    "def f(x):\n\treturn {'a': x ** 2, \"b\": [1, 2, 3]}  # comment\r\n\r\n",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u041a\u0430\u043a \u0434\u0435\u043b\u0430?",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u662f2024\u5e741\u67081\u65e5\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3001\u30ab\u30bf\u30ab\u30ca\u3068\u6f22\u5b57",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0661\u0662\u0663",
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0967\u0968\u0969",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd \u0b89\u0bb2\u0b95\u0bae\u0bcd",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstro\u0308m \u1e9e \u0130stanbul \u017fs '\u017f \ufb01nal \u2460 \u00bd x\u00b2",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f 1\ufe0f\u20e3",
    "<|im_start|>user\nHello<|im_end|>\n<|endoftext|> <s>[INST] hi [/INST]</s> Name NameX Name. a <sep>  b <mask> c",
    "   leading,  two   three\u00a0nbsp\u3000wide\u180ewhat\u200b\u2028line\u2029par\x85nel\x0b\x0c\x1f\ttab   ",
]
# Ranges of scripts, signs and what was added to Unicode lately.
RANGES = [(0x20, 0x7e), (0x20, 0x7e), (0xa0, 0xff), (0x100, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x530, 0x5ff), (0x600, 0x77f),
          (0x780, 0x8ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1000, 0x139f), (0x13a0, 0x18af), (0x1ab0, 0x1aff), (0x1c80, 0x1cff),
          (0x1d00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x2bff), (0x2c00, 0x2e5f), (0x2e80, 0x33ff), (0x3400, 0x4dbf), (0x4e00, 0x9fff),
          (0xa000, 0xabff), (0xac00, 0xd7a3), (0xf900, 0xfdff), (0xfe00, 0xfffd), (0x10000, 0x10fff), (0x11000, 0x12fff),
          (0x13000, 0x14fff), (0x16000, 0x18fff), (0x1b000, 0x1bfff), (0x1cc00, 0x1dfff), (0x1e000, 0x1efff), (0x1f000, 0x1fbff),
          (0x20000, 0x2ffff), (0x30000, 0x323af), (0xe0000, 0xe01ef)]
GLUE = [" ", " ", " ", "  ", "\n", "\r\n", "\n\n", "\t", "", "", "'S", "'ll", "'RE", "123", "7", "-", ".", "...\n", " \n ", "\u00a0", "\u0301", "\u200d"]


def lines(count, seed):
    """Texts in many scripts; each is of one kind, or of several."""
    rng = random.Random(seed)
    words = [word for sentence in SENTENCES for word in sentence.split(" ") if word]
    made = list(SENTENCES)
    while len(made) < count:
        text = ""
        low, high = rng.choice(RANGES)
        for _ in range(rng.randrange(1, 14)):
            if rng.random() < 0.4:
                text += rng.choice(words)
            else:
                if rng.random() < 0.3:
                    low, high = rng.choice(RANGES)
                text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 6)))
            text += rng.choice(GLUE)
        made.append(text)
    return made[:count]
