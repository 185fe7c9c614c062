// The encoder's image from a frame: colours, a pyramid of halvings, the rectified crop, the click map. The same steps as
// on the CPU, where training cuts its queries: `smgeo_engine::rectify` and `smgeo_engine::image`.
#pragma once

#include "element.cuh"

namespace smgeo {

constexpr int EDGE_PX = 256;
constexpr int PREPROCESS_THREADS = 256;
constexpr int LEVELS_MAX = 6;
// The map from crop to frame is known every 8 px.
constexpr int GRID_STRIDE_PX = 8;
constexpr int GRID = EDGE_PX / GRID_STRIDE_PX + 1;

// A frame and its halvings, RGBX u8.
struct Pyramid {
    const uchar4* level[LEVELS_MAX];
    int width_px[LEVELS_MAX];
    int height_px[LEVELS_MAX];
    int levels;
};

// Colours of a YUV picture: r = y_scale (y - y_zero) + red_of_v (v - 128), and so on.
struct YuvColours {
    float y_zero;
    float y_scale;
    float red_of_v;
    float green_of_u;
    float green_of_v;
    float blue_of_u;
};

__device__ inline unsigned char to_byte(float value) {
    return static_cast<unsigned char>(fminf(fmaxf(value, 0.0f), 255.0f) + 0.5f);
}

struct Colour {
    float red, green, blue;
};

__device__ inline Colour blend(Colour a, Colour b, float part) {
    return {a.red + (b.red - a.red) * part, a.green + (b.green - a.green) * part, a.blue + (b.blue - a.blue) * part};
}

__device__ inline Colour read_pixel(const Pyramid& pyramid, int level, int x, int y) {
    const uchar4 pixel = pyramid.level[level][static_cast<size_t>(y) * pyramid.width_px[level] + x];
    return {static_cast<float>(pixel.x), static_cast<float>(pixel.y), static_cast<float>(pixel.z)};
}

// Reads between pixel centres of a level; the place is in pixels of the frame.
__device__ inline Colour read_between(const Pyramid& pyramid, int level, float2 at) {
    const int width = pyramid.width_px[level], height = pyramid.height_px[level];
    float x = at.x * (static_cast<float>(width) / pyramid.width_px[0]) - 0.5f;
    float y = at.y * (static_cast<float>(height) / pyramid.height_px[0]) - 0.5f;
    x = fminf(fmaxf(x, 0.0f), width - 1.0f);
    y = fminf(fmaxf(y, 0.0f), height - 1.0f);
    const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
    const int x1 = min(x0 + 1, width - 1), y1 = min(y0 + 1, height - 1);
    const float across = x - x0, down = y - y0;
    const Colour north = blend(read_pixel(pyramid, level, x0, y0), read_pixel(pyramid, level, x1, y0), across);
    const Colour south = blend(read_pixel(pyramid, level, x0, y1), read_pixel(pyramid, level, x1, y1), across);
    return blend(north, south, down);
}

// Where the corner of a crop pixel lies in the frame; not a number where the camera cannot see.
__device__ inline float2 corner(const float2* grid, int column, int row) {
    const int west = min(column / GRID_STRIDE_PX, GRID - 2), north = min(row / GRID_STRIDE_PX, GRID - 2);
    const float across = (column - west * GRID_STRIDE_PX) / static_cast<float>(GRID_STRIDE_PX);
    const float down = (row - north * GRID_STRIDE_PX) / static_cast<float>(GRID_STRIDE_PX);
    const float2 nw = grid[north * GRID + west], ne = grid[north * GRID + west + 1];
    const float2 sw = grid[(north + 1) * GRID + west], se = grid[(north + 1) * GRID + west + 1];
    const float2 top = make_float2(nw.x + (ne.x - nw.x) * across, nw.y + (ne.y - nw.y) * across);
    const float2 bottom = make_float2(sw.x + (se.x - sw.x) * across, sw.y + (se.y - sw.y) * across);
    return make_float2(top.x + (bottom.x - top.x) * down, top.y + (bottom.y - top.y) * down);
}

// Value of the click map at a distance of (dx, dy) pixels: 255 (1 - d / diagonal)^2, rounded. Source: the SMGeo loader.
// f64, since a rounding decides a byte that training saw.
__device__ inline unsigned char click_byte(int dx, int dy) {
    const double diagonal_px = 362.03867196751236;
    const double closeness = 1.0 - sqrt(static_cast<double>(dx * dx + dy * dy)) / diagonal_px;
    return static_cast<unsigned char>(255.0 * closeness * closeness + 0.5);
}

// The colour of a crop pixel, averaged over about its footprint; black where the camera did not see.
__device__ inline uchar4 crop_pixel(const Pyramid& pyramid, const float2* grid, int column, int row) {
    const float2 nw = corner(grid, column, row), ne = corner(grid, column + 1, row);
    const float2 sw = corner(grid, column, row + 1), se = corner(grid, column + 1, row + 1);
    const float2 at = make_float2(0.25f * (nw.x + ne.x + sw.x + se.x), 0.25f * (nw.y + ne.y + sw.y + se.y));
    // A comparison with what is not a number is false, so unseen corners end here too.
    const bool inside = at.x >= 0.0f && at.y >= 0.0f && at.x < pyramid.width_px[0] && at.y < pyramid.height_px[0];
    if (!inside) return make_uchar4(0, 0, 0, 0);
    const float across = hypotf(ne.x - nw.x, ne.y - nw.y), down = hypotf(sw.x - nw.x, sw.y - nw.y);
    const float footprint_px = fmaxf(sqrtf(across * down), 1.0f);
    const float depth = fminf(log2f(footprint_px), static_cast<float>(pyramid.levels - 1));
    const int finer = static_cast<int>(depth), coarser = min(finer + 1, pyramid.levels - 1);
    const Colour fine = read_between(pyramid, finer, at);
    const Colour colour = blend(fine, read_between(pyramid, coarser, at), depth - finer);
    return make_uchar4(to_byte(colour.red), to_byte(colour.green), to_byte(colour.blue), 0);
}

}  // namespace smgeo

// NV12, luma u8 [height, pitch] and chroma u8 [height / 2, pitch] of (u, v) -> RGBX [height, width]. One thread a pixel;
// the grid has one row of blocks for each row of the frame.
extern "C" __global__ void __launch_bounds__(smgeo::PREPROCESS_THREADS)
    preprocess_nv12(const unsigned char* __restrict__ luma, const unsigned char* __restrict__ chroma,
                    uchar4* __restrict__ out, int width_px, int pitch, smgeo::YuvColours colours) {
    const int x = blockIdx.x * smgeo::PREPROCESS_THREADS + threadIdx.x, y = blockIdx.y;
    if (x >= width_px) return;
    const size_t pair = static_cast<size_t>(y / 2) * pitch + x / 2 * 2;
    const float light = (luma[static_cast<size_t>(y) * pitch + x] - colours.y_zero) * colours.y_scale;
    const float u = chroma[pair] - 128.0f, v = chroma[pair + 1] - 128.0f;
    const unsigned char red = smgeo::to_byte(light + colours.red_of_v * v);
    const unsigned char green = smgeo::to_byte(light + colours.green_of_u * u + colours.green_of_v * v);
    const unsigned char blue = smgeo::to_byte(light + colours.blue_of_u * u);
    out[static_cast<size_t>(y) * width_px + x] = make_uchar4(red, green, blue, 0);
}

// RGB u8 [height, width, 3] -> RGBX [height, width]. One thread a pixel.
extern "C" __global__ void __launch_bounds__(smgeo::PREPROCESS_THREADS)
    preprocess_rgb(const unsigned char* __restrict__ rgb, uchar4* __restrict__ out, int width_px, int height_px) {
    const size_t index = static_cast<size_t>(blockIdx.x) * smgeo::PREPROCESS_THREADS + threadIdx.x;
    if (index >= static_cast<size_t>(width_px) * height_px) return;
    out[index] = make_uchar4(rgb[3 * index], rgb[3 * index + 1], rgb[3 * index + 2], 0);
}

// RGBX [height, width] -> RGBX [height / 2, width / 2], means of 2 x 2 rounded half up. One thread a pixel.
extern "C" __global__ void __launch_bounds__(smgeo::PREPROCESS_THREADS)
    preprocess_halve(const uchar4* __restrict__ fine, uchar4* __restrict__ coarse, int width_px, int height_px) {
    const int x = blockIdx.x * smgeo::PREPROCESS_THREADS + threadIdx.x, y = blockIdx.y;
    if (x >= width_px / 2 || y >= height_px / 2) return;
    const uchar4* north = fine + static_cast<size_t>(2 * y) * width_px + 2 * x;
    const uchar4 a = north[0], b = north[1], c = north[width_px], d = north[width_px + 1];
    const int red = a.x + b.x + c.x + d.x, green = a.y + b.y + c.y + d.y, blue = a.z + b.z + c.z + d.z;
    coarse[static_cast<size_t>(y) * (width_px / 2) + x] = make_uchar4(
        static_cast<unsigned char>((red + 2) / 4), static_cast<unsigned char>((green + 2) / 4),
        static_cast<unsigned char>((blue + 2) / 4), 0);
}

// A pyramid and f32 [33, 33, 2], where the crop's grid lies in the frame -> the encoder's image u8 [256, 256, 4].
// `click_x` < 0: a tile, whose fourth channel is zero. One block a row.
extern "C" __global__ void __launch_bounds__(smgeo::PREPROCESS_THREADS)
    preprocess_crop(const __grid_constant__ smgeo::Pyramid pyramid, const float2* __restrict__ grid, uchar4* __restrict__ out, int click_x,
                    int click_y) {
    const int column = threadIdx.x, row = blockIdx.x;
    uchar4 pixel = smgeo::crop_pixel(pyramid, grid, column, row);
    if (click_x >= 0) pixel.w = smgeo::click_byte(column - click_x, row - click_y);
    out[row * smgeo::EDGE_PX + column] = pixel;
}
