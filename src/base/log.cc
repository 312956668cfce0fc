#include "fathom/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include "fathom/base/internal/terminal.h"

namespace fathom {
namespace {

/// Lines above a bar, where there is one.
class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    print_line({message.payload.data(), message.payload.size()});
  }
  void flush_() override {}
};

}  // namespace

struct Log::Sink {
  spdlog::logger logger{"fathom", std::make_shared<TerminalSink>()};
};

Log::Log(bool quiet) : sink_(std::make_shared<Sink>()) {
  sink_->logger.set_level(quiet ? spdlog::level::warn : spdlog::level::info);
}

void Log::info(const std::string& message) const {
  sink_->logger.log(spdlog::level::info, spdlog::string_view_t(message));
}

void Log::warn(const std::string& message) const {
  sink_->logger.log(spdlog::level::warn, spdlog::string_view_t("warning: " + message));
}

void Log::error(const std::string& message) const {
  sink_->logger.log(spdlog::level::err, spdlog::string_view_t("error: " + message));
}

}  // namespace fathom
