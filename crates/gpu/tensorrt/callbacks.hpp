// What TensorRT calls while it works: its log, and the progress of a build. For shim.cpp alone.
#pragma once

#include <NvInfer.h>

#include <exception>
#include <map>
#include <mutex>
#include <string>

#include "shim.h"

namespace {

using namespace nvinfer1;

class Log : public ILogger {
public:
    Log(smgeo_trt_log log, void* user) : log_(log), user_(user) {}
    void log(Severity severity, const char* text) noexcept override {
        log_(user_, static_cast<int32_t>(severity), text);
    }
    void error(const std::string& text) noexcept { log(Severity::kERROR, text.c_str()); }
    void error(const char* text) noexcept { log(Severity::kERROR, text); }

private:
    smgeo_trt_log log_;
    void* user_;
};

// What a call gives, or `failed` where it throws: Rust's frames cannot be unwound by C++.
template <class R, class Call>
R guarded(Log& log, R failed, Call call) noexcept {
    try {
        return call();
    } catch (const std::exception& error) {
        log.error(error.what());
    } catch (...) {
        log.error("an exception of an unknown kind");
    }
    return failed;
}

class Progress : public IProgressMonitor {
public:
    explicit Progress(const smgeo_trt_build_request& request) : request_(request) {}
    void phaseStart(const char* phase, const char*, int32_t steps) noexcept override {
        const std::lock_guard<std::mutex> guard(mutex_);
        steps_[phase] = steps;
        going_ = going_ && request_.progress(request_.user, phase, 0, steps) != 0;
    }
    bool stepComplete(const char* phase, int32_t step) noexcept override {
        const std::lock_guard<std::mutex> guard(mutex_);
        const auto steps = steps_.find(phase);
        const int32_t count = steps == steps_.end() ? step + 1 : steps->second;
        going_ = going_ && request_.progress(request_.user, phase, step + 1, count) != 0;
        return going_;
    }
    void phaseFinish(const char* phase) noexcept override {
        const std::lock_guard<std::mutex> guard(mutex_);
        steps_.erase(phase);
    }

private:
    const smgeo_trt_build_request& request_;
    // Phases may report from several threads.
    std::mutex mutex_;
    // Of the phases under way: one may be a part of another.
    std::map<std::string, int32_t> steps_;
    bool going_ = true;
};

}  // namespace
