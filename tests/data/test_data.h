// What the data tests share: packed files, a small tokenizer, and a folder that goes away.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <functional>
#include <random>
#include <string>

#include "base/temporary_folder.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/data/find_files.h"
#include "fathom/data/formats.h"
#include "fathom/data/train_tokenizer.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom::testing {

inline std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// With the frame's checksum, as the zstd tool writes it.
inline std::string zstd(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  const size_t size =
      ZSTD_compress2(context, packed.data(), packed.size(), text.data(), text.size());
  ZSTD_freeCCtx(context);
  EXPECT_FALSE(ZSTD_isError(size));
  packed.resize(size);
  return packed;
}

/// Lines of words with a skewed distribution, the same for a seed.
inline std::string words(size_t num_lines, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::string text;
  for (size_t line = 0; line < num_lines; ++line) {
    for (int i = 0; i < 8; ++i) {
      uint32_t word = random() % 40;
      word = word * word / 2;
      text += i == 0 ? "" : " ";
      for (uint32_t rest = word + 7; rest > 0; rest /= 5) text += "aeknr"[rest % 5];
    }
    text += ".\n";
  }
  return text;
}

/// A tokenizer of a few hundred pieces, trained once.
inline const Tokenizer& small_tokenizer() {
  static const Tokenizer tokenizer = [] {
    const TemporaryFolder folder;
    folder.write("text.txt", words(400));
    TokenizerOptions options;
    options.vocab_size = 300;
    options.type = "bpe";
    return train_tokenizer(find_files({folder / "text.txt"}), options, folder / "t.model", nullptr,
                           StopFlag());
  }();
  return tokenizer;
}

/// The tokenizer of Llama 2 where the checkout has it, or nothing.
inline std::string llama_tokenizer_path() {
  const std::string path = FATHOM_SOURCE_DIR "/../shared/data/llama2_tokenizer.model";
  return std::filesystem::exists(path) ? path : "";
}

/// The message of the DataError that `action` throws; a failure if it throws none.
inline std::string data_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no DataError";
  return "";
}

/// All texts of a file's documents, joined from their parts.
inline std::vector<std::string> documents(const std::string& path, const ReadOptions& options = {},
                                          uint64_t* replacements = nullptr) {
  const DataFile file = find_files({path})[0];
  const CutFunction cut = [](std::string_view text) { return small_tokenizer().find_cut(text); };
  const auto records = open_records(file, options, cut);
  std::vector<std::string> texts;
  for (Record record; records->next(record);) {
    const bool first = record.first;
    const std::string text = document_text(file, record, options);
    if (replacements != nullptr) *replacements += record.replacements;
    if (record.skipped) continue;
    if (first) texts.emplace_back();
    texts.back() += text;
  }
  return texts;
}

}  // namespace fathom::testing
