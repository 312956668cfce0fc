#include "fathom/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace fathom {

struct Log::Sink {
  spdlog::logger logger{"fathom", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
};

Log::Log(bool quiet) : sink_(std::make_shared<Sink>()) {
  sink_->logger.set_pattern("%v");
  sink_->logger.set_level(quiet ? spdlog::level::warn : spdlog::level::info);
  sink_->logger.flush_on(spdlog::level::info);
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
