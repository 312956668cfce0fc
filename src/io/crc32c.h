// CRC-32C (Castagnoli), the checksum of TensorBoard's files.
#pragma once

#include <cstdint>
#include <string_view>

namespace fathom {

uint32_t crc32c(std::string_view bytes);

}  // namespace fathom
