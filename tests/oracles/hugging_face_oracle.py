"""transformers reads the model directories that we write, and we read the configs that it writes.

Tokenizers give SentencePiece's own ids for every kind of model that SentencePiece trains.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import support

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
sentencepiece = support.require("sentencepiece")
transformers = support.require("transformers")

OLD = transformers.__version__.startswith("4.")  # RoPE's keys were others
ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}
LLAMAS = [
    dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
         vocab_size=320),
    dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
         vocab_size=320, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-5,
         tie_word_embeddings=True, attention_bias=True, max_position_embeddings=512,
         initializer_range=0.1, rope_parameters=dict(ROPE, rope_theta=500000.0)),
    dict(hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
         vocab_size=320, rope_parameters={"rope_type": "linear", "factor": 2.0,
                                          "rope_theta": 1234.5}),
]
# What transformers must understand as we do.
KEYS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings",
        "rms_norm_eps", "initializer_range", "tie_word_embeddings", "attention_bias", "hidden_act",
        "use_cache", "bos_token_id", "eos_token_id", "pad_token_id")
ODD_LINES = ["", " ", "a", "  two  spaces  ", "tab\there", "line\nbreak\n\nand more", "h\u00e9llo",
             "h\u0065\u0301llo", "\u2603 \u65e5\u672c\u8a9e \U0001f600", "\ufb01 \u00bd \u2460 \uff21",
             "non\u00a0breaking", "\u3000wide", "def f(x):\n        return x\n", "x" * 300,
             "a\u2581b", "1234567890", "'quoted' \"text\" \\n", "zero\u200bwidth"]
SYMBOLS = dict(user_defined_symbols=["\n", "<|im_start|>", "<|im", "a b", "\ufb01"], control_symbols=["[CLS]"])
ATOMS = [*SYMBOLS["user_defined_symbols"], "[CLS]", "<s>", "</s>", "<unk>", "<0x0A>", " ", "  ", "def", "self.", "\t", "\u00e9",
         "\u4e2d", "\u00a0", "\u2581", "<", "<|", "x"]
LIKE_LLAMA = dict(byte_fallback=True, split_digits=True, normalization_rule_name="identity",
                  remove_extra_whitespaces=False)
MODELS = {
    "unigram": dict(model_type="unigram", byte_fallback=True),
    "bpe": dict(model_type="bpe", byte_fallback=True),
    "unigram_unk": dict(model_type="unigram"),
    "bpe_unk": dict(model_type="bpe", normalization_rule_name="identity"),
    "bpe_like_llama": dict(model_type="bpe", **LIKE_LLAMA),
    "bpe_symbols": dict(model_type="bpe", **LIKE_LLAMA, **SYMBOLS),
    "bpe_symbols_normalized": dict(model_type="bpe", **SYMBOLS),
    "unigram_symbols": dict(model_type="unigram", **LIKE_LLAMA, **SYMBOLS),
    "unigram_symbols_normalized": dict(model_type="unigram", **SYMBOLS),
    "bpe_suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, **LIKE_LLAMA, **SYMBOLS),
    "unigram_suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True, **LIKE_LLAMA),
    "char": dict(model_type="char", hard_vocab_limit=False, **SYMBOLS),
    "unigram_code": dict(model_type="unigram", byte_fallback=True,
                         normalization_rule_name="identity", remove_extra_whitespaces=False,
                         add_dummy_prefix=False, user_defined_symbols=["<sep>"], pad_id=3),
}


def run(tool, *arguments):
    done = subprocess.run([tool, *map(str, arguments)], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(tool, directory, source, model, plain="plain", tokens=(1, 2, -1)):
    directory.mkdir(exist_ok=True)
    run(tool, "write", directory, source, model, plain, *tokens)


def check_config(theirs, read_back):
    for key in KEYS:
        assert getattr(theirs, key) == getattr(read_back, key), key
    for key in ("rope_parameters", "rope_scaling", "rope_theta"):  # of transformers 5, 4, 4
        assert getattr(theirs, key, None) == getattr(read_back, key, None) or (
            key == "rope_parameters" and OLD), key


def check_configs(tool, directory, model):
    for number, keys in enumerate(LLAMAS):
        classes = [transformers.LlamaConfig, transformers.Qwen3Config]
        for config_class, architecture in zip(classes, ("LlamaForCausalLM", "Qwen3ForCausalLM")):
            keys = dict(keys)
            keys.setdefault("head_dim", 16)
            keys.setdefault("num_key_value_heads", 4)
            if OLD and "rope_parameters" in keys:
                rope = dict(keys.pop("rope_parameters"))
                keys.update(rope_theta=rope.pop("rope_theta"), rope_scaling=rope)
            theirs = config_class(**keys, bos_token_id=1, eos_token_id=2)
            theirs.architectures = [architecture]
            source = directory / f"{architecture}-{number}"
            theirs.save_pretrained(source)
            write(tool, directory / "ours", source, model)
            read_back = transformers.AutoConfig.from_pretrained(directory / "ours")
            assert type(read_back) is config_class and read_back.architectures == [architecture]
            check_config(theirs, read_back)
            assert str(read_back.dtype).endswith("float32"), read_back.dtype
            # transformers' own copy of our config still says the same to us.
            read_back.save_pretrained(directory / "again")
            assert run(tool, "read", directory / "again") == run(tool, "read", directory / "ours")
    generation = transformers.GenerationConfig.from_pretrained(directory / "ours")
    assert (generation.bos_token_id, generation.eos_token_id) == (1, 2)
    # What no architecture of transformers computes isn't loaded as one: it needs the code beside it.
    write(tool, directory / "other", directory / "LlamaForCausalLM-0", model, plain="other")
    try:
        transformers.AutoConfig.from_pretrained(directory / "other", trust_remote_code=False)
        sys.exit("a model that isn't a Llama was loaded")
    except ValueError as error:
        assert "trust_remote_code" in str(error), error


def texts():
    """Lines of the standard library's sources, indented and not, and odd ones."""
    lines = []
    for name in ("argparse.py", "textwrap.py", "ast.py", "datetime.py"):
        path = pathlib.Path(os.__file__).parent / name
        lines += path.read_text(encoding="utf-8").splitlines()
    return lines


def lines_of_atoms(count=1500):
    """Symbols and the names of pieces in any order, at the start, at the end and beside each other."""
    rng = random.Random(11)
    return ["".join(rng.choice(ATOMS) for _ in range(rng.randrange(1, 8))) for _ in range(count)]


def check_tokenizer(tool, directory, source, model, lines, tokens):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for plain in ("plain", "other"):
        ours = directory / f"tokenizer-{plain}"
        write(tool, ours, source, model, plain, tokens)
        assert (ours / "tokenizer.model").read_bytes() == model.read_bytes()
        if plain == "other":  # a tokenizer needs no model that transformers knows
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(ours)
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(ours)
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == tokens[:2]
        assert tokenizer.pad_token_id == (tokens[2] if tokens[2] >= 0 else None)
        ties = 0
        for line in lines:
            expected = processor.encode(line)
            got = tokenizer(line)["input_ids"]
            if got != expected:  # equal scores: SentencePiece adds them in float32, tokenizers in 64
                ties += 1
                scores = [sum(map(processor.get_score, ids)) for ids in (got, expected)]
                assert "unigram" in model.name and abs(scores[0] - scores[1]) < 1e-3, (
                    f"{model.name}: {line!r}: {got} is not {expected}")
            # The unknown is decoded as " \u2047 " there, as its name here; a sign for a space as any space.
            if processor.unk_id() not in expected and "\u2581" not in line:
                assert tokenizer.decode(expected) == processor.decode(expected), (model.name, line)
        assert ties <= len(lines) / 100, f"{model.name}: {ties} of {len(lines)} lines differ"
        assert tokenizer.decode([tokens[1]], skip_special_tokens=True) == ""


def main():
    tool = support.arguments(__doc__).tool.resolve()
    lines = texts()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for model, options in MODELS.items():
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_prefix=str(directory / model), vocab_size=800,
                minloglevel=2, num_threads=1, **options)
        check_configs(tool, directory, directory / "bpe.model")
        source = directory / "LlamaForCausalLM-0"
        for model, options in MODELS.items():
            check_tokenizer(tool, directory, source, directory / f"{model}.model",
                            lines[::5] + ODD_LINES + lines_of_atoms(), (1, 2, options.get("pad_id", -1)))
        llama = pathlib.Path(__file__).parents[3] / "shared" / "data" / "llama2_tokenizer.model"
        if llama.exists():
            check_tokenizer(tool, directory, source, llama, lines + ODD_LINES, (1, 2, -1))


if __name__ == "__main__":
    main()
